"""Organizations and accounts that are deleted: announced, restored, erased."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pyotp
import pytest
from sqlalchemy import select

from farsite_cloud.accounts import mfa
from farsite_cloud.accounts.service import find_account
from farsite_cloud.database import Base
from farsite_cloud.organizations.erasing import erase_one
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.hub import Bye, SessionAnnounced, SessionEnded, Welcome
from farsite_signaling.wire.rights import Role

NAME = {"name": "My organization"}
PASSWORD = "a good long password"


async def _everything(world) -> list[tuple[str, tuple]]:
    """Every row of every table, as it stands."""
    found = []
    async with world.services.database.reading() as session:
        for table in Base.metadata.sorted_tables:
            found += [(table.name, tuple(row)) for row in await session.execute(select(table))]
    return found


async def _full(world):
    """An organization with something in most tables, and a live session."""
    folder = await world.folder("Own")
    await world.folder("Below", parent=folder)
    edge_id, edge_identity = await world.edge(folder=folder)
    viewer = await world.member(Role.VIEWER, folders=[folder])
    await world.service(Role.OPERATOR, [folder])
    await world.supporter(Role.VIEWER, [folder], hours=24 * 20)
    invited = {"emails": ["invited@example.com"], "role": "viewer", "all_folders": True}
    await world.owner.ok("POST", "~/invitations", invited)
    await world.owner.ok("POST", "~/exports", None)
    client_identity = await world.client(viewer)
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    await viewer.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client_identity.urn})
    await edge.expect(SessionAnnounced)
    return edge, client, viewer


@pytest.mark.both_databases
async def test_an_organization_is_erased_when_its_time_has_passed(world):
    other = await world.other_organization()
    await world.edge(other)
    edge, client, viewer = await _full(world)
    org = world.owner.org
    deleting = await world.owner.ok("POST", "~/deletion", NAME)
    assert deleting["deletes_at"] is not None
    for recipient in (OWNER_EMAIL, f"viewer-{org[-6:]}@example.com"):
        assert "will be deleted" in str([mail.content.subject for mail in await world.mails(recipient)])
    # Until then it works on.
    await viewer.ok("GET", "~/edge-hosts")
    world.clock.advance(days=30)
    async with asyncio.timeout(15):
        while (await edge.expect(SessionEnded | Bye)).type != "bye":
            pass
        while (await client.expect(SessionEnded | Bye)).type != "bye":
            pass
        while await _left(world, org):
            await asyncio.sleep(0.1)
    assert (await world.signed_in(OWNER_EMAIL)).token
    again = await world.connect(edge.identity)
    assert (again.seen[0].code, again.seen[0].retry) == ("certificate_revoked", False)
    left = [row for row in await _everything(world) if org in str(row) and row[0] != "mails"]
    assert {table for table, _ in left} <= {"erased_organizations", "operator_events"}
    other = await world.signed_in("other@example.com", other.org)
    assert [row["name"] for row in (await other.ok("GET", "~/edge-hosts"))["edge_hosts"]] == ["Site"]
    assert "was deleted" in str([mail.content.subject for mail in await world.mails(OWNER_EMAIL)])


async def _left(world, org) -> bool:
    async with world.services.database.reading() as session:
        table = Base.metadata.tables["organizations"]
        return bool((await session.execute(select(table.c.id).where(table.c.id == org))).all())


async def test_it_is_restored_before_its_time(world):
    await world.owner.ok("POST", "~/deletion", NAME)
    assert (await world.owner("POST", "~/deletion", NAME)).code == "conflict"
    restored = await world.owner.ok("DELETE", "~/deletion")
    assert restored["deletes_at"] is None
    assert "stays" in (await world.mails(OWNER_EMAIL))[-1].content.subject
    world.clock.advance(days=31)
    assert await erase_one(world.services) is False
    owner = await world.signed_in(OWNER_EMAIL, world.owner.org)
    await owner.ok("GET", "~")
    assert (await owner("DELETE", "~/deletion")).code == "conflict"


async def test_only_owners_delete_and_by_name(world):
    admin = await world.member(Role.ADMIN)
    assert (await admin("POST", "~/deletion", NAME)).body["right"] == "organization.own"
    for name in ("my organization", "My", "Other"):
        assert (await world.owner("POST", "~/deletion", {"name": name})).code == "invalid_request"
    body = {"name": "script", "scopes": ["organization.own"]}
    script = replace(world.owner, token=(await world.owner.ok("POST", "/me/tokens", body))["token"])
    assert (await script("POST", "~/deletion", NAME)).code == "forbidden"
    assert (await world.owner.ok("GET", "~"))["deletes_at"] is None


async def test_two_processes_erase_once(world_in, tmp_path):
    world = await world_in(tmp_path, deletion_grace_days=0)
    other = await world.other_organization()
    await world.owner.ok("POST", "~/deletion", NAME)
    async with asyncio.timeout(10):
        while await _left(world, world.owner.org):
            await asyncio.gather(*(erase_one(world.services) for _ in range(3)))
    erased = [mail for mail in await world.mails(OWNER_EMAIL) if "was deleted" in mail.content.subject]
    assert len(erased) == 1
    await other.ok("GET", "~")


# accounts


async def _delete(person, **more):
    return await person("POST", "/me/deletion", {"password": PASSWORD} | more)


async def _person(world, email, role=None):
    person = await world.account(email, PASSWORD)
    if role is not None:
        from farsite_cloud.database import Scope
        from farsite_cloud.users.service import Users

        async with world.services.database.writing() as session:
            users = Users(Scope(session, world.owner.org))
            await users.add(person.account_id, role, [], all_folders=True, now=world.clock())
        person.org = world.owner.org
    return person


@pytest.mark.both_databases
async def test_an_account_is_deleted_with_all_that_is_personal(world):
    ann = await _person(world, "ann@example.com", Role.OPERATOR)
    edge_id, edge_identity = await world.edge()
    client_identity = await world.client(ann)
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    await ann.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client_identity.urn})
    await edge.expect(SessionAnnounced)
    assert (await _delete(ann)).status == 204
    await edge.expect(SessionEnded)
    async with asyncio.timeout(5):
        while not isinstance(await client.receive(), Bye):
            pass
    assert (await ann("GET", "/me")).code == "unauthenticated"
    signing = {"email": "ann@example.com", "password": PASSWORD}
    assert (await world.stranger("POST", "/auth/sign-in", signing)).code == "sign_in_failed"
    assert [user["email"] for user in (await world.owner.ok("GET", "~/users"))["users"]] == [OWNER_EMAIL]
    kept = {table for table, row in await _everything(world) if "ann@example.com" in str(row)}
    assert kept <= {"audit_events", "mails", "notice_events", "notices"}
    assert (await world.mails("ann@example.com"))[-1].content.subject == "Your account was deleted"
    # The address is free, and what was is not inherited.
    again = await world.account("ann@example.com")
    assert (await again.ok("GET", "/organizations"))["organizations"] == []


async def test_the_last_owner_stays(world):
    owner = replace(world.owner)
    reply = await owner("POST", "/me/deletion", {"password": OWNER_PASSWORD})
    assert reply.code == "conflict" and "My organization" in reply.body["detail"]
    await owner.ok("GET", "~")
    admin = await _person(world, "ann@example.com", Role.ADMIN)
    assert (await owner("POST", "/me/deletion", {"password": OWNER_PASSWORD})).code == "conflict"
    await owner.ok("PATCH", f"~/users/{admin.account_id}", {"role": "owner"})
    assert (await owner("POST", "/me/deletion", {"password": OWNER_PASSWORD})).status == 204
    assert (await admin.ok("GET", "~"))["role"] == "owner"
    assert (await _delete(admin)).code == "conflict"


@pytest.mark.both_databases
async def test_owners_that_go_at_once_do_not_leave_it_without_one(world):
    ann = await _person(world, "ann@example.com", Role.OWNER)
    replies = await asyncio.gather(
        _delete(ann), world.owner("POST", "/me/deletion", {"password": OWNER_PASSWORD})
    )
    assert sorted(reply.status for reply in replies) == [204, 409]


async def test_a_second_factor_is_asked_for(world):
    ann = await _person(world, "ann@example.com")
    async with world.services.database.writing() as session:
        account = await find_account(session, "ann@example.com")
        secret = mfa.new_secret(account, world.services.vault)
        account.totp_since = world.clock()
    assert (await _delete(ann)).code == "mfa_required"
    assert (await _delete(ann, code="000000")).code == "sign_in_failed"
    assert (await _delete(ann, password="wrong password")).code == "sign_in_failed"
    assert (await _delete(ann, code=pyotp.TOTP(secret).at(world.clock()))).status == 204


async def test_reconnecting_after_a_restore_works(world):
    _, identity = await world.edge()
    await world.owner.ok("POST", "~/deletion", NAME)
    peer = await world.connect(identity)
    assert isinstance(peer.seen[0], Welcome)
