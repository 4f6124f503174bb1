"""`farsite account|orgs|folders|users|invites|tokens` as processes against a real cloud."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pyotp
import pytest

from farsite_client.cloud import CloudClient
from farsite_client.factors import Proof
from farsite_cloud.mail.queue import outbox
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, RunningCloud, run_cloud
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# Many processes in a row, each of which takes its time where the machine is busy.
pytestmark = pytest.mark.timeout(240)
ANN = "ann@example.com"
PASSWORD = "a good long password"


@pytest.fixture
async def cloud() -> AsyncIterator[RunningCloud]:
    async with run_cloud() as running:
        yield running


async def _code(running: RunningCloud, recipient: str) -> str:
    services = running.cloud.services
    async with services.database.reading() as session:
        mails = await outbox(session, services.vault, 100)
    text = next(mail.content.text for mail in mails if mail.recipient == recipient)
    found = re.search(r"^    (\w{5}(-\w{5}){3})$", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


async def _done(cli: Any, *arguments: str, **variables: str) -> Any:
    ran = await cli(*arguments, "--json", **variables)
    assert ran.code == 0, ran.err + ran.out
    return json.loads(ran.out) if ran.out else None


async def _log_in(cli: Any, running: RunningCloud, email: str = OWNER_EMAIL, **more: str) -> None:
    variables = {"FARSITE_CLIENT_PASSWORD": OWNER_PASSWORD} | more
    await _done(cli, "login", running.url, "--email", email, **variables)


async def test_an_organization_is_built_by_command(cli: Any, cloud: RunningCloud, tmp_path: Path) -> None:
    await _log_in(cli, cloud)
    await _done(cli, "folders", "create", "Europe")
    await _done(cli, "folders", "create", "Paris", "--in", "Europe")
    await _done(cli, "folders", "create", "France")
    await _done(cli, "folders", "move", "Europe/Paris", "France")
    table = await cli("folders", "list")
    assert "France/Paris" in table.out
    sent = await _done(cli, "invites", "send", ANN, "--role", "operator", "--folder", "France")
    assert sent["invitations"][0]["starts_as"] == "viewer"
    assert ANN in (await cli("invites", "list")).out
    many = [f"person{number}@example.com" for number in range(120)]
    assert len((await _done(cli, "invites", "send", *many, "--all-folders"))["invitations"]) == 120
    await _done(cli, "invites", "resend", ANN)
    home = {"FARSITE_CLIENT_HOME": str(tmp_path / "ann"), "FARSITE_CLIENT_PASSWORD": PASSWORD}
    joining = ("account", "join", cloud.url, "--code", await _code(cloud, ANN), "--name", "Ann")
    await _done(cli, *joining, **home)
    await _log_in(cli, cloud, ANN, **home)
    assert [folder["name"] for folder in await _done(cli, "folders", "list", **home)] == ["Paris", "France"]
    await _done(cli, "users", "role", ANN, "operator")
    table = await cli("users", "list")
    assert "operator" in table.out and "France" in table.out
    [only] = await _done(cli, "users", "list", "--search", "ANN@", "--role", "operator")
    assert only["email"] == ANN
    await _done(cli, "users", "folders", ANN, "--folder", "France/Paris")
    assert [folder["name"] for folder in await _done(cli, "folders", "list", **home)] == ["Paris"]
    refused = await cli("folders", "remove", "France")
    assert refused.code == 1 and "not empty" in refused.err
    await _done(cli, "users", "transfer", ANN)
    assert (await _done(cli, "users", "list", **home))[1]["role"] == "owner"
    await _done(cli, "users", "remove", OWNER_EMAIL, **home)
    assert (await cli("edges")).code == 1


async def test_a_second_organization_is_switched_to(cli: Any, cloud: RunningCloud) -> None:
    await _log_in(cli, cloud)
    await _done(cli, "orgs", "create", "Second")
    assert (await _done(cli, "orgs", "switch", "second"))["organization_name"] == "Second"
    changed = await _done(cli, "orgs", "change", "--name", "Renamed", "--invited-with-role")
    assert (changed["name"], changed["invited_start_as_viewers"]) == ("Renamed", False)
    listed = await cli("orgs", "list")
    assert re.search(r"\* +Renamed", listed.out)


async def test_an_account_is_made_and_got_back_into(cli: Any, cloud: RunningCloud) -> None:
    await _done(cli, "account", "sign-up", cloud.url, "--email", ANN)
    variables = {"FARSITE_CLIENT_PASSWORD": PASSWORD}
    code = await _code(cloud, ANN)
    await _done(cli, "account", "confirm", cloud.url, "--code", code, "--name", "Ann", **variables)
    await _done(cli, "account", "forgot", cloud.url, "--email", ANN)
    code = await _code(cloud, ANN)
    again = {"FARSITE_CLIENT_PASSWORD": "another long password"}
    await _done(cli, "account", "reset", cloud.url, "--code", code, **again)
    async with CloudClient(cloud.url) as client:
        await client.sign_in(ANN, "another long password")
    used = await cli("account", "reset", cloud.url, "--code", code, **again)
    assert used.code == 1 and "code_invalid" in used.err


async def test_tokens_and_sign_ins_by_command(cli: Any, cloud: RunningCloud) -> None:
    await _log_in(cli, cloud)
    made = await _done(cli, "tokens", "create", "backup", "--scope", "edge.read", "--days", "7")
    async with CloudClient(cloud.url, made["token"]) as client:
        [organization] = await client.organizations()
        assert [edge async for edge in client.edge_hosts(organization.id)] == []
        with pytest.raises(FarsiteError) as caught:
            await client.setup_code(organization.id, "x")
    assert (caught.value.code, caught.value.right) == (ErrorCode.FORBIDDEN, "edge.claim")
    assert "backup" in (await cli("tokens", "list")).out
    await _done(cli, "tokens", "revoke", made["id"])
    await cloud.sign_in()
    assert len(await _done(cli, "account", "sessions")) == 2
    await _done(cli, "account", "end")
    assert len(await _done(cli, "account", "sessions")) == 1
    fresh = {"FARSITE_CLIENT_PASSWORD": OWNER_PASSWORD, "FARSITE_CLIENT_NEW_PASSWORD": PASSWORD}
    await _done(cli, "account", "password", **fresh)
    await _done(cli, "whoami")


async def test_signing_in_with_a_second_factor(cli: Any, cloud: RunningCloud) -> None:
    async with CloudClient(cloud.url) as client:
        await client.sign_in(OWNER_EMAIL, OWNER_PASSWORD)
        secret = await client.start_mfa(Proof(OWNER_PASSWORD))
        codes = await client.enable_mfa(pyotp.TOTP(secret.secret).now())
    variables = {"FARSITE_CLIENT_PASSWORD": OWNER_PASSWORD}
    asked = await cli("login", cloud.url, "--email", OWNER_EMAIL, **variables)
    assert asked.code == 1 and "mfa_required" in asked.err and "--code" in asked.err
    await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, "--code", codes[0], **variables)
    assert (await _done(cli, "account", "mfa", "status"))["recovery_codes_left"] == 9
    await _done(cli, "account", "mfa", "off", "--code", codes[1], **variables)
    assert (await _done(cli, "account", "mfa", "status"))["enabled"] is False


async def test_turning_the_second_factor_on_shows_a_code_to_scan(cli: Any, cloud: RunningCloud) -> None:
    await _log_in(cli, cloud)
    shown = await cli("account", "mfa", "on", FARSITE_CLIENT_PASSWORD=OWNER_PASSWORD, stdin="000000\n")
    assert shown.code == 1 and "█" in shown.err and "sign_in_failed" in shown.err


async def test_passkeys_are_added_on_a_page_of_the_cloud(cli: Any, cloud: RunningCloud) -> None:
    await _log_in(cli, cloud)
    page = (await _done(cli, "account", "passkeys", "add"))["page"]
    async with aiohttp.ClientSession() as http, http.get(page) as answer:
        assert answer.status == 200 and "Your passkeys" in await answer.text()
    assert await _done(cli, "account", "passkeys", "list") == []
    missing = await cli("account", "passkeys", "rename", "Laptop", "Other")
    assert missing.code == 1 and "not_found" in missing.err
