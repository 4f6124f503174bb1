"""Licences through the API: trial, redeeming, need and allocation, grace, and what edge hosts are told."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from farsite_cloud.commands.licences import forget
from farsite_cloud.database import Scope
from farsite_cloud.database.erase import erase_organization
from farsite_cloud.licences.authority import init, issue, read_authority
from farsite_cloud.licences.licensing import Licensing, read_keys
from farsite_cloud.organizations.models import Organization
from farsite_cloud.settings import load_settings
from farsite_cloud.testing import OWNER_EMAIL
from farsite_signaling.identity import load_public_key
from farsite_signaling.identity.grants import verify_grant
from farsite_signaling.identity.licences import verify_statement
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import Report, ReportAccepted
from farsite_signaling.wire.licence import LicenceKind, LicenceNotice
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases


class Authority:
    def __init__(self, folder, clock, algorithm="ed25519", name="authority.key"):
        self.made = init(folder / name, algorithm)
        self.clock = clock

    def key(self, count=5, days=365, *, start=0, kind=LicenceKind.DEVICE, org=None, cloud=None):
        first, now = self.clock() + timedelta(days=start), self.clock()
        last = first + timedelta(days=days - 1)
        private = read_authority(self.made.key_file)
        return issue(
            private,
            issuer="Ops",
            kind=kind,
            count=count,
            first=first,
            last=last,
            organization=org,
            now=now,
            cloud=cloud,
        )[1]


@pytest.fixture
def authority(tmp_path, clock):
    return Authority(tmp_path, clock)


@pytest.fixture
async def world(world_in, authority):
    return await world_in(None, licensing="on", licence_keys=[str(authority.made.public_file)])


async def _report(world, peer, devices):
    counts = {"devices_managed": devices, "devices_discovered": 0, "remote_access": True}
    await peer.send(Report(id="r", version="1", **counts))
    told = []
    while not isinstance(message := await peer.receive(), ReportAccepted):
        told.append(message)
    world.services.licensing.forget(world.owner.org)
    return told


async def _edge(world, devices, name="Site"):
    edge_id, identity = await world.edge(name=name)
    peer = await world.connect(identity)
    await _report(world, peer, devices)
    return edge_id, identity, peer


async def _later(world, **amount):
    world.clock.advance(**amount)
    world.owner.token = (await world.signed_in(OWNER_EMAIL)).token
    await world.services.licence_watch.observe(world.owner.org)


async def _state(world):
    return await world.owner.ok("GET", "~/licences")


async def test_trial_licence_and_grace(world, authority):
    await _edge(world, 3)
    assert (await _state(world))["state"] == "trial"
    await _later(world, days=31)
    state = await _state(world)
    assert (state["state"], state["changes_allowed"]) == ("grace", True)
    assert state["needs"][0] | {"covered_until": None} == {
        "kind": "device", "needed": 3, "owned": 0, "unallocated": 0, "missing": 3, "covered_until": None,
    }  # fmt: skip
    await _later(world, days=30)
    assert (await _state(world))["state"] == "expired"
    state = await world.owner.ok("POST", "~/licences", {"key": authority.key(5, 100)})
    assert (state["state"], state["needs"][0]["unallocated"]) == ("licensed", 2)
    assert [row["action"] for row in await world.audit() if row["action"].startswith("licence")] == [
        "licence.redeemed", "licence.grace_ended", "licence.grace_began",
    ]  # fmt: skip


async def test_a_licence_of_one_cloud_is_taken_by_no_other(world, authority):
    elsewhere = authority.key(cloud="https://another.example")
    refused = await world.owner("POST", "~/licences", {"key": elsewhere})
    assert (refused.status, refused.code) == (400, "licence_invalid")
    assert "https://another.example" in refused.body["detail"]
    here = authority.key(cloud=world.services.urls.origin.upper() + "/")
    assert len((await world.owner.ok("POST", "~/licences", {"key": here}))["licences"]) == 1


async def test_after_the_grace_organization_wide_work_is_refused_and_reading_works(world, authority):
    edge_id, _, _ = await _edge(world, 3)
    await _later(world, days=31)
    await _later(world, days=31)
    reply = await world.owner("POST", "~/campaigns", {})
    assert (reply.status, reply.code) == (403, "licence_expired")
    [row] = (await world.owner.ok("GET", "~/audit?outcome=refused&action=authorization"))["rows"]
    assert row["details"]["code"] == "licence_expired"
    for method, path in (("POST", "~/campaigns/none/cancel"), ("DELETE", "~/campaigns/none")):
        assert (await world.owner(method, path)).code == "not_found", "work is taken back at any time"
    for path in ("~/edge-hosts", "~/licences", "~/audit", "~/licences/allocations", "~/campaigns"):
        assert (await world.owner("GET", path)).status == 200, path
    await world.owner.ok("PATCH", f"~/edge-hosts/{edge_id}", {"name": "An edge host is no device"})
    await world.owner.ok("POST", "~/licences", {"key": authority.key(3, 100)})
    assert (await world.owner("POST", "~/campaigns", {})).code == "invalid_request"


async def test_a_key_is_redeemed_once(world, authority):
    key = authority.key()
    await world.owner.ok("POST", "~/licences", {"key": key})
    again = await world.owner.ok("POST", "~/licences", {"key": f"  {key[:40]}\n {key[40:]}\n"})
    assert len(again["licences"]) == 1
    other = await world.other_organization()
    reply = await other("POST", "~/licences", {"key": key})
    assert (reply.status, reply.code) == (409, "licence_used")
    assert (await other.ok("GET", "~/licences"))["licences"] == []


async def test_a_key_stays_redeemed_when_its_organization_is_erased(world, authority):
    key, other = authority.key(), await world.other_organization()
    await other.ok("POST", "~/licences", {"key": key})
    async with world.services.database.writing() as session:
        await erase_organization(session, other.org)
    assert (await world.owner("POST", "~/licences", {"key": key})).code == "licence_used"


async def test_of_racing_redemptions_one_organization_wins(world, authority):
    key = authority.key()
    other = await world.other_organization()
    people = [world.owner, other] * 4
    replies = await asyncio.gather(*(person("POST", "~/licences", {"key": key}) for person in people))
    owned = [len((await person.ok("GET", "~/licences"))["licences"]) for person in (world.owner, other)]
    assert sorted(owned) == [0, 1]
    assert {reply.code for reply in replies if reply.status >= 300} <= {"licence_used", "conflict"}


async def test_keys_that_are_refused(world, authority, tmp_path, clock):
    foreign = Authority(tmp_path, clock, name="foreign.key")
    good = authority.key()
    head, body, signature = good.split(".")
    other = await world.other_organization()
    for key, word in [
        ("nonsense", "no licence key"),
        (foreign.key(), "does not know"),
        (f"{head}.{body[:-4]}AAAA.{signature}", "changed"),
        (f"{head}.{body}.{signature[:-6]}AAAAAA", "changed"),
        (authority.key(org=other.org), "another organization"),
        (authority.key(days=5, start=-10), "ended on"),
        (world.owner.token, "no licence key"),
    ]:
        reply = await world.owner("POST", "~/licences", {"key": key})
        assert (reply.status, reply.code) == (400, "licence_invalid"), reply.text
        assert word in reply.body["detail"]
        assert key not in reply.text
    assert (await world.owner("POST", "~/licences", {"key": "x" * 5000})).code == "invalid_request"
    assert (await _state(world))["licences"] == []
    operator = await world.member(Role.OPERATOR)
    assert (await operator("POST", "~/licences", {"key": good})).code == "forbidden"
    assert (await operator("GET", "~/licences")).status == 200


async def test_authorities_are_rotated(world_in, tmp_path, clock):
    old, new = (Authority(tmp_path, clock, kind, kind) for kind in ("p256", "ed25519"))
    both = tmp_path / "both.pub"
    both.write_bytes(old.made.public_file.read_bytes() + new.made.public_file.read_bytes())
    assert set(read_keys([str(both)])) == {old.made.id, new.made.id}
    world = await world_in(None, licensing="on", licence_keys=[str(both)])
    await world.owner.ok("POST", "~/licences", {"key": old.key(1)})
    state = await world.owner.ok("POST", "~/licences", {"key": new.key(2)})
    assert sorted(one["count"] for one in state["licences"]) == [1, 2]


async def test_a_clock_that_was_set_back_wins_no_time(world, authority):
    await _edge(world, 3)
    await world.owner.ok("POST", "~/licences", {"key": authority.key(3, 10)})
    await _later(world, days=75)
    assert (await _state(world))["state"] == "expired"
    await _later(world, days=-70)
    state = await _state(world)
    assert state["state"] == "expired" and state["clock_behind"] == 70 * 86400
    assert (await world.owner("POST", "~/licences", {"key": authority.key(3, 5)})).code == "licence_invalid"


async def test_a_clock_that_was_far_ahead_is_forgiven_by_the_operator(world, authority):
    await _edge(world, 3)
    await world.owner.ok("POST", "~/licences", {"key": authority.key(3, 400)})
    await _later(world, days=900)
    assert (await _state(world))["state"] == "expired"
    world.clock.advance(days=-900)
    world.owner.token = (await world.signed_in(OWNER_EMAIL)).token
    assert await forget(world.services.database, world.clock()) == 1
    state = await _state(world)
    assert (state["state"], state["clock_behind"]) == ("licensed", 0)
    assert await forget(world.services.database, world.clock()) == 0


async def test_allocations_and_reservations(world, authority):
    first, _, _ = await _edge(world, 4, "First")
    second, _, _ = await _edge(world, 4, "Second")
    await world.owner.ok("POST", "~/licences", {"key": authority.key(5)})

    async def missing():
        found = (await world.owner.ok("GET", "~/licences/allocations"))["allocations"]
        return {one["edge_name"]: one["missing"] for one in found}

    assert await missing() == {"First": 0, "Second": 3}
    await world.owner.ok("PUT", f"~/licences/allocations/{second}", {"device": 4})
    assert await missing() == {"First": 3, "Second": 0}
    await world.owner.ok("PUT", f"~/licences/allocations/{second}", {})
    assert await missing() == {"First": 0, "Second": 3}
    assert (await world.owner("PUT", "~/licences/allocations/none", {"device": 1})).code == "not_found"
    folder = await world.folder("Far away")
    viewer = await world.member(Role.VIEWER, folders=[folder])
    assert (await viewer.ok("GET", "~/licences/allocations"))["allocations"] == []
    assert first != second


async def test_edge_hosts_are_told_by_signed_statements_and_grants(world, authority):
    edge_id, identity = await world.edge()
    peer = await world.connect(identity)
    [notice] = await _report(world, peer, 3)
    assert isinstance(notice, LicenceNotice)
    async with world.services.database.reading() as session:
        from farsite_cloud.organizations.service import find_organization

        organization = await find_organization(session, world.owner.org)
    key = load_public_key(organization.grant_public_key)
    told = verify_statement(notice.statement, key, audience=identity.urn)
    grace = timedelta(days=60)
    assert told.state == "trial"
    assert told.changes_until == int((organization.created_at + grace).timestamp())
    with pytest.raises(FarsiteError):
        verify_statement(notice.statement, key, audience=identity.urn + "x")
    assert await _report(world, peer, 3) == [], "nothing new"
    await world.owner.ok("POST", "~/licences", {"key": authority.key(3, 400)})
    notice = await peer.expect(LicenceNotice)
    renewed = verify_statement(notice.statement, key, audience=identity.urn)
    assert renewed.state == "licensed" and renewed.changes_until > told.changes_until
    client = await world.client()
    ticket = await world.owner.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    now = world.clock().timestamp()
    grant = verify_grant(ticket["grant"], key, audience=identity.urn, subject=client.urn, now=now)
    assert grant.licence is not None and grant.licence.changes_until == renewed.changes_until


async def test_without_licensing_nothing_is_limited_and_it_says_so(world_in, authority):
    world = await world_in(None)
    _, _, peer = await _edge(world, 10_000)
    await _later(world, days=3000)
    state = await _state(world)
    assert (state["state"], state["changes_allowed"], state["licences"]) == ("unlicensed", True, [])
    assert "nothing is limited" in state["detail"]
    assert await _report(world, peer, 10_001) == []
    assert (await world.owner("POST", "~/licences", {"key": authority.key()})).code == "conflict"


async def test_switching_licensing_on_begins_a_grace_for_those_who_were_there(world_in, authority, tmp_path):
    folder = tmp_path / "cloud"
    world = await world_in(folder, licensing="on", licence_keys=[str(authority.made.public_file)])
    await _edge(world, 3)
    world.clock.advance(days=400)
    await world.services.licence_watch.observe(world.owner.org)
    async with world.services.database.writing() as session:
        from sqlalchemy import text

        await session.execute(text("DELETE FROM licence_records"))
    await _later(world)
    assert (await _state(world))["state"] in ("grace", "expired")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"licensing": "on"}, "licence_keys"),
        ({"licensing": "on", "licence_keys": ["/nowhere.pub"]}, "/nowhere.pub"),
        ({"licence_keys": [__file__]}, "no public key"),
    ],
)
def test_settings_that_cannot_work(settings, word):
    with pytest.raises(FarsiteError, match=word) as caught:
        Licensing.of(load_settings(settings, environ={}))
    assert caught.value.code == "setting_invalid"


def test_the_authoritys_key_is_for_its_owner_alone(tmp_path, clock):
    authority = Authority(tmp_path, clock)
    assert authority.made.key_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FarsiteError, match="exists"):
        init(authority.made.key_file, "ed25519")
    os.chmod(authority.made.key_file, 0o640)
    with pytest.raises(FarsiteError, match="chmod 600"):
        read_authority(authority.made.key_file)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"days": 0}, {"days": -3}, {"count": 10**9}, {"org": "a b"}])
def test_licences_that_make_no_sense_are_not_issued(authority, wrong):
    with pytest.raises(FarsiteError, match="No licence was issued"):
        authority.key(**wrong)


async def test_news_of_one_second_are_told_in_their_order(world, authority):
    """An edge host goes by the newest; the clock stands still here."""
    edge_id, identity = await world.edge()
    peer = await world.connect(identity)
    told = await _report(world, peer, 1)
    for count in (1, 2):
        await world.owner.ok("POST", "~/licences", {"key": authority.key(count, 100 * count)})
        told.append(await peer.expect(LicenceNotice))
    async with world.services.database.reading() as session:
        from farsite_cloud.organizations.service import find_organization

        organization = await find_organization(session, world.owner.org)
    key = load_public_key(organization.grant_public_key)
    said = [verify_statement(one.statement, key, audience=identity.urn) for one in told]
    assert [one.state for one in said] == ["trial", "licensed", "licensed"]
    assert said[0].at < said[1].at < said[2].at
    assert edge_id


async def test_devices_of_other_makers_need_universal_licences_at_once(world, authority):
    edge_id, _, peer = await _edge(world, 3)
    needed = {one["kind"]: one["needed"] for one in (await _state(world))["needs"]}
    assert needed == {"device": 3, "universal": 0}
    counts = {"devices_managed": 5, "devices_other": 2, "devices_discovered": 0, "remote_access": True}
    await peer.send(Report(id="r", version="1", **counts))
    while not isinstance(await peer.receive(), ReportAccepted):
        pass
    needed = {one["kind"]: one["needed"] for one in (await _state(world))["needs"]}
    assert needed == {"device": 3, "universal": 2}
    [share] = (await world.owner.ok("GET", "~/licences/allocations"))["allocations"]
    assert (share["edge_id"], share["needed"], share["missing"]) == (edge_id, needed, 5)


async def test_nobody_is_refused_by_what_another_process_has_remedied(world, authority):
    """What was worked out is remembered for a minute: a licence redeemed on another process counts at once."""
    await _edge(world, 3)
    await _later(world, days=70)
    body = {"kind": "os.upgrade"}
    assert (await world.owner("POST", "~/campaigns", body)).code == "licence_expired"
    standing = await world.services.licensing.standing(
        Scope(None, world.owner.org), Organization(id=world.owner.org), world.clock()
    )
    await world.owner.ok("POST", "~/licences", {"key": authority.key()})
    # As it is where nobody heard of it.
    world.services.licensing._remembered[world.owner.org] = standing
    assert not standing.changes_allowed
    assert (await world.owner("POST", "~/campaigns", body)).status == 201
