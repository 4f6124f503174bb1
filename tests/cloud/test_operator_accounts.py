from __future__ import annotations

import asyncio
import json
import os

import pyotp
import pytest

from farsite_cloud.commands import accounts
from farsite_cloud.commands.desk import run
from farsite_cloud.settings import load_settings
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role

PASSWORD = {"password": OWNER_PASSWORD}
CREDENTIALS = {"email": OWNER_EMAIL, **PASSWORD}


async def _do(folder, act):
    settings = load_settings({"data_dir": folder, "public_url": "https://cloud.example.com"}, environ={})
    return await asyncio.to_thread(run, settings, act)


async def test_a_lost_second_factor_is_reset_told_and_audited(tmp_path, world_in):
    world = await world_in(tmp_path)
    made = await world.owner.ok("POST", "/me/mfa/secret", PASSWORD)
    code = pyotp.TOTP(made["secret"]).at(world.clock())
    await world.owner.ok("POST", "/me/mfa/enable", {"code": code})
    assert (await world.stranger("POST", "/auth/sign-in", CREDENTIALS)).code == "mfa_required"
    done = await _do(tmp_path, lambda desk: accounts.reset_mfa(desk, OWNER_EMAIL.upper()))
    assert (done["removed"], done["ended"]) == (["app"], 1)
    assert (await world.owner("GET", "/me")).status == 401
    world.owner.token = (await world.stranger.ok("POST", "/auth/sign-in", CREDENTIALS))["token"]
    assert not (await world.owner.ok("GET", "/me/mfa"))["enabled"]
    [row] = await world.audit("account.mfa_reset")
    assert (row["actor"], row["source"], row["target"]) == ("operator", "this machine", OWNER_EMAIL)
    assert (await world.mails(OWNER_EMAIL))[-1].content.subject == "The operator removed your second factors"


async def test_a_reset_ends_live_sessions_within_moments(tmp_path, world_in, commands):
    """Security row S7: the command is another process than the cloud that the tunnel was opened through."""
    world = await world_in(tmp_path)
    edge_id, identity = await world.edge()
    edge, client = await world.connect(identity), await world.client()
    ticket = await world.owner.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client.urn})
    await edge.expect(SessionAnnounced)
    command = ("cloud", "account", "reset-mfa", OWNER_EMAIL, "--data-dir", str(tmp_path), "--json")
    async with asyncio.TaskGroup() as group:
        # Reads from now on: it answers the hub's heartbeat while the command starts.
        told = group.create_task(edge.expect(SessionEnded), name="edge host")
        ran = await commands.run(*command, env=os.environ)
        assert json.loads(ran.out)["ended"] == 1
        async with asyncio.timeout(5):
            ended = await told
    assert (ended.session, ended.code) == (ticket["session"], "session_ended")
    # Another process than the cloud did it: who was let in is asked for anew after two seconds.
    async with asyncio.timeout(5):
        while (await world.owner("GET", "/me")).status != 401:
            await asyncio.sleep(0.05)


async def test_a_code_for_a_new_password_is_handed_over(tmp_path, world_in):
    world = await world_in(tmp_path)
    made = await _do(tmp_path, lambda desk: accounts.password_code(desk, OWNER_EMAIL))
    assert made["url"] == "https://cloud.example.com"
    fresh = {"code": made["code"], "password": "another good password"}
    assert (await world.stranger("POST", "/auth/reset", fresh)).status == 204
    assert (await world.stranger("POST", "/auth/sign-in", CREDENTIALS)).code == "sign_in_failed"


async def test_accounts_are_listed_by_the_command(tmp_path, world_in, commands):
    world = await world_in(tmp_path)
    await world.account("ada@example.com")
    listing = ("cloud", "account", "list", "--data-dir", str(tmp_path), "--json")
    ran = await commands.run(*listing, env=os.environ)
    found = {one["email"]: one for one in json.loads(ran.out)["accounts"]}
    assert set(found) == {OWNER_EMAIL, "ada@example.com"}
    assert found[OWNER_EMAIL]["organizations"] == ["My organization (owner)"]


@pytest.mark.parametrize("act", [accounts.reset_mfa, accounts.password_code])
async def test_nobody_is_said(tmp_path, world_in, act):
    await world_in(tmp_path)
    with pytest.raises(FarsiteError, match="no account"):
        await _do(tmp_path, lambda desk: act(desk, "nobody@example.com"))


async def test_a_setup_code_of_a_disabled_person_claims_nothing(tmp_path, world_in):
    world = await world_in(tmp_path)
    admin = await world.member(Role.ADMIN, email="ada@example.com")
    code = (await admin.ok("POST", "~/setup-codes", {"name": "Site"}))["code"]
    await _do(tmp_path, lambda desk: accounts.disable(desk, "ada@example.com", "left"))
    world.clock.advance(minutes=1)
    claim = {"code": code, "csr": make_request(generate_key(), "edge")}
    assert (await world.stranger("POST", "/claims", claim)).code == "setup_code_expired"
