"""What whoever runs the cloud sees of its organizations, and does about them and about accounts."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from farsite_cloud.commands import accounts
from farsite_cloud.commands import organizations as work
from farsite_cloud.commands.desk import run
from farsite_cloud.settings import load_settings
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases
SECRET_NAMES = ("Vault of the bank", "Folder nobody else knows")


@pytest.fixture
async def world(world_in, tmp_path):
    return await world_in(tmp_path)


@pytest.fixture
def do(world, tmp_path, storage):
    async def do(act):
        settings = load_settings({"data_dir": tmp_path} | await storage(tmp_path), environ={})
        return await asyncio.to_thread(run, settings, act, world.clock)

    return do


async def _live(world):
    edge_id, identity = await world.edge(name=SECRET_NAMES[0])
    edge, client = await world.connect(identity), await world.client()
    path = f"~/edge-hosts/{edge_id}/sessions"
    ticket = await world.owner.ok("POST", path, {"client": client.urn})
    await edge.expect(SessionAnnounced)
    return edge, path, client, ticket["session"]


async def test_how_much_and_never_what(world, do):
    await _live(world)
    await world.folder(SECRET_NAMES[1])
    await world.member(Role.VIEWER)
    await world.service(Role.OPERATOR)
    other = await world.other_organization()
    found = {one["id"]: one for one in await do(work.list_organizations)}
    assert set(found) == {world.owner.org, other.org}
    mine = found[world.owner.org]
    assert (mine["name"], mine["state"], mine["owners"]) == ("My organization", "active", [OWNER_EMAIL])
    assert [mine[name] for name in ("users", "service_accounts", "edge_hosts", "devices")] == [2, 1, 1, 0]
    assert (mine["licence"], mine["last_used"][:10]) == ("unlicensed", f"{world.clock():%Y-%m-%d}")
    assert found[other.org]["users"] == 1 and found[other.org]["edge_hosts"] == 0
    shown = await do(lambda desk: work.show(desk, "My organization"))
    assert shown["stored"]["audit_rows"] > 0
    stored = await do(work.storage)
    assert stored["database_bytes"] > 0 and {one["id"] for one in stored["organizations"]} == set(found)
    said = json.dumps([found, shown, stored])
    assert not [name for name in SECRET_NAMES if name in said]


async def test_a_suspended_organization_is_seen_and_not_changed(world, do):
    edge, path, client, session = await _live(world)
    invitation = {"emails": ["new@example.com"], "role": "viewer", "all_folders": True}
    await world.owner.ok("POST", "~/invitations", invitation)
    new = await world.account("new@example.com")
    [waiting] = (await new.ok("GET", "/me/invitations"))["invitations"]
    code = await world.setup_code()
    done = await do(lambda desk: work.suspend(desk, world.owner.org, "The bill\nwas not paid"))
    assert (done["sessions_ended"], done["told"]) == (1, 1)
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == session
    # Whoever was let in a moment ago reads what was read then, for two seconds at most.
    async with asyncio.timeout(10):
        while not (seen := await world.owner.ok("GET", "~"))["suspended_at"]:
            await asyncio.sleep(0.05)
    assert seen["suspended_reason"] == "The bill was not paid"
    assert len((await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"]) == 1
    refusals = [
        await world.owner("POST", path, {"client": client.urn}),
        await world.owner("PATCH", "~", {"name": "x"}),
        await world.owner("POST", "~/folders", {"name": "x"}),
        await world.owner("POST", "~/setup-codes", {"name": "x"}),
        await new("POST", f"/me/invitations/{waiting['id']}/accept"),
        await world.stranger("POST", "/claims", {"code": code, "csr": "x"}),
    ]
    for reply in refusals:
        assert (reply.status, reply.code) == (403, "organization_suspended"), reply.text
        assert "The bill was not paid" in reply.body["detail"]
    assert (await world.owner("POST", "~/exports")).status < 300, "one's data is one's own"
    gone = await world.owner("DELETE", f"~/users/{(await world.member(Role.VIEWER)).account_id}")
    assert gone.status == 204, "access is taken away at any time"
    [row] = await world.audit("organization.suspended")
    assert (row["actor"], row["details"]) == ("operator", {"reason": "The bill was not paid"})
    mail = (await world.mails(OWNER_EMAIL))[-1].content
    assert mail.subject == "My organization was suspended" and "The bill was not paid" in mail.text
    with pytest.raises(FarsiteError, match="suspended already"):
        await do(lambda desk: work.suspend(desk, world.owner.org, "again"))
    await do(lambda desk: work.reactivate(desk, world.owner.org))
    # On a busy machine the edge host may have left meanwhile.
    opened = await world.owner("POST", path, {"client": client.urn})
    assert opened.status == 201 or opened.code == "edge_offline", opened.text
    await new.ok("POST", f"/me/invitations/{waiting['id']}/accept")
    assert (await world.owner.ok("GET", "~"))["suspended_at"] is None
    assert len(await world.audit("organization.reactivated")) == 1
    subjects = [mail.content.subject for mail in await world.mails(OWNER_EMAIL)]
    assert "My organization is active again" in subjects


async def test_deleted_with_grace_by_the_operator(world, do):
    with pytest.raises(FarsiteError, match="as it stands"):
        await do(lambda desk: work.delete(desk, world.owner.org, "Mine"))
    done = await do(lambda desk: work.delete(desk, world.owner.org, "My organization"))
    [row] = await world.audit("organization.deletion_requested")
    assert row["details"] == {"deletes_at": done["deletes_at"]}
    assert "The operator" in (await world.mails(OWNER_EMAIL))[-1].content.text
    await do(lambda desk: work.restore(desk, world.owner.org))
    with pytest.raises(FarsiteError, match="not being deleted"):
        await do(lambda desk: work.restore(desk, world.owner.org))
    assert [row["actor"] for row in await world.audit("organization.restored")] == ["operator"]


async def test_a_disabled_account_is_let_in_nowhere(world, do):
    edge, _, _, session = await _live(world)
    body = {"name": "script", "scopes": ["organization.read"], "expires_in_days": 7}
    script = type(world.owner)(world.http, world.running.url, world.owner.org)
    script.token = (await world.owner.ok("POST", "/me/tokens", body))["token"]
    credentials = {"email": OWNER_EMAIL, "password": OWNER_PASSWORD}
    done = await do(lambda desk: accounts.disable(desk, OWNER_EMAIL, "stolen laptop"))
    assert (done["ended"], done["sessions_ended"]) == (1, 1)
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == session
    refused = await world.stranger("POST", "/auth/sign-in", credentials)
    assert refused.code == "sign_in_failed" and "disabled" in refused.body["detail"]
    wrong = await world.stranger("POST", "/auth/sign-in", credentials | {"password": "wrong"})
    assert "disabled" not in wrong.body["detail"], "who does not know the password is told nothing"
    assert (await script("POST", "/auth/sign-out")).status == 401
    assert (await do(lambda desk: accounts.find(desk, OWNER_EMAIL)))["disabled_at"]
    await do(lambda desk: accounts.enable(desk, OWNER_EMAIL))
    assert (await world.owner("PATCH", "/me", {"name": "x"})).status == 401, "sign-ins have ended for good"
    world.owner.token = (await world.stranger.ok("POST", "/auth/sign-in", credentials))["token"]
    await script.ok("GET", "~")
    [row] = await world.audit("account.disabled")
    assert (row["actor"], row["details"]) == ("operator", {"reason": "stolen laptop"})
    subjects = [mail.content.subject for mail in await world.mails(OWNER_EMAIL)]
    assert "The operator disabled your account" in subjects
    assert "The operator enabled your account again" in subjects


async def test_all_sign_ins_of_somebody_end(world, do):
    body = {"name": "script", "scopes": ["organization.read"], "expires_in_days": 7}
    await world.owner.ok("POST", "/me/tokens", body)
    assert (await do(lambda desk: accounts.sign_out(desk, OWNER_EMAIL)))["ended"] == 2
    assert (await world.owner("PATCH", "/me", {"name": "x"})).status == 401
    world.owner.token = (await world.signed_in(OWNER_EMAIL)).token
    assert (await world.audit("account.signed_out_by_operator"))[0]["details"] == {"ended": 2}


async def test_the_commands(world, tmp_path, commands, storage):
    settings = await storage(tmp_path)
    env = os.environ | ({"FARSITE_DATABASE": settings["database"]} if settings else {})
    here = ("--data-dir", str(tmp_path))
    ran = await commands.run("cloud", "organizations", "list", *here, env=env)
    assert "My organization" in ran.out and "EDGE HOSTS" in ran.out
    for words in (
        ("suspend", world.owner.org, "--reason", "unpaid"),
        ("show", "My organization"),
        ("reactivate", "My organization"),
        ("delete", world.owner.org, "--name", "My organization"),
        ("restore", world.owner.org),
        ("storage",),
    ):
        ran = await commands.run("cloud", "organizations", *words, *here, "--json", env=env)
        assert ran.code == 0 and json.loads(ran.out), ran
    for act, *more in (("find",), ("disable", "--reason", "lost"), ("enable",), ("sign-out",)):
        ran = await commands.run("cloud", "account", act, OWNER_EMAIL, *more, *here, "--json", env=env)
        assert json.loads(ran.out)["email"] == OWNER_EMAIL
