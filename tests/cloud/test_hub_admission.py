"""Who may connect to the hub that the cloud serves."""

from __future__ import annotations

from datetime import timedelta

from farsite_cloud.organizations.service import find_organization
from farsite_signaling.identity import CertificateAuthority, Identity, generate_key, make_request
from farsite_signaling.wire.hub import Bye, Report, Welcome
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, EdgeId, EdgeName, OrgId


async def _refused(world, identity: Identity, name: str | None = None) -> str:
    peer = await world.connect(identity, name)
    assert isinstance(peer.seen[-1], Bye), peer.seen
    return peer.seen[-1].code


def _forged(world, name, authority: CertificateAuthority | None = None) -> Identity:
    authority = authority or CertificateAuthority.create("Farsite", world.clock())
    key = generate_key()
    return Identity.from_pem(key, authority.issue(make_request(key, "x"), name, now=world.clock()))


async def test_edge_hosts_and_clients_of_the_organization_may(world):
    _, edge = await world.edge()
    assert isinstance((await world.connect(edge)).seen[-1], Welcome)
    assert isinstance((await world.connect(await world.client())).seen[-1], Welcome)


async def test_a_certificate_of_another_authority_is_refused(world):
    edge_id, _ = await world.edge()
    name = EdgeName(OrgId(world.owner.org), EdgeId(edge_id))
    assert await _refused(world, _forged(world, name)) == "certificate_invalid"


async def test_another_organizations_authority_vouches_for_nobody_here(world):
    other = await world.other_organization()
    edge_id, _ = await world.edge()
    async with world.services.database.reading() as session:
        organization = await find_organization(session, other.org)
        purpose = f"organization {other.org} authority"
        key = world.services.vault.unseal(organization.authority_key, purpose)
        authority = CertificateAuthority.load(key, organization.authority_certificate)
    foreign = _forged(world, EdgeName(OrgId(world.owner.org), EdgeId(edge_id)), authority)
    assert await _refused(world, foreign) == "certificate_invalid"
    unknown = _forged(world, EdgeName(OrgId(other.org), EdgeId(edge_id)), authority)
    assert await _refused(world, unknown) == "certificate_revoked"


async def test_an_unknown_organization_is_refused(world):
    name = ClientName(OrgId("nowhere"), AccountId("a"), ClientId("c"))
    assert await _refused(world, _forged(world, name)) == "certificate_invalid"


async def test_a_name_that_is_not_the_certificates_is_refused(world):
    _, one = await world.edge()
    _, two = await world.edge()
    assert await _refused(world, one, two.urn) == "certificate_invalid"


async def test_an_expired_certificate_is_refused_and_told(world):
    _, edge = await world.edge()
    world.clock.advance(days=90, minutes=4)
    assert isinstance((await world.connect(edge)).seen[-1], Welcome), "within the leeway"
    world.clock.advance(minutes=2)
    peer = await world.connect(edge)
    assert peer.seen[-1].code == "certificate_expired"
    assert "claim or sign in again" in peer.seen[-1].detail


async def test_a_clock_that_is_behind_is_told_in_seconds(world):
    _, edge = await world.edge()
    world.clock.now -= timedelta(minutes=20)
    peer = await world.connect(edge)
    assert peer.seen[-1].code == "clock_skew"
    assert "600 s" in peer.seen[-1].detail


async def test_clients_reports_are_not_taken(world):
    client = await world.connect(await world.client())
    report = Report(id="r", version="1", remote_access=True, devices_managed=0, devices_discovered=0)
    await client.send(report)
    # A second connection of the same name replaces this one: its goodbye is the next thing heard.
    await world.connect(client.identity)
    assert (await client.expect(Bye)).code == "replaced"


async def test_coming_and_going_is_seen(world):
    edge_id, identity = await world.edge()
    assert (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["last_seen"] is None
    await world.connect(identity)
    await world.running.cloud.hub.disconnect(identity.urn, "closed", "test")
    await world.running.cloud.hub.close()
    seen = (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["last_seen"]
    assert seen is not None
