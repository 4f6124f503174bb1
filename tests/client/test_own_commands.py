"""`farsite login --new-organization|--accept`, `account name|email`, `orgs leave`, `invites decline`, as processes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from farsite_client.cloud import CloudClient
from farsite_cloud.accounts.service import create_account
from farsite_cloud.mail.queue import outbox
from farsite_cloud.testing import RunningCloud, run_cloud
from farsite_signaling.wire.people_api import InvitationRequest
from farsite_signaling.wire.rights import Role

# Many processes in a row, each of which takes its time where the machine is busy.
pytestmark = pytest.mark.timeout(240)
ANN, NEW, PASSWORD = "ann@example.com", "ann.new@example.com", "a good long password"


@pytest.fixture
async def cloud() -> AsyncIterator[RunningCloud]:
    """With somebody who has an account, and is in no organization."""
    async with run_cloud() as running:
        services = running.cloud.services
        hashed = await services.passwords.hash(PASSWORD)
        async with services.database.writing() as session:
            create_account(session, ANN, hashed, services.clock(), "Ann")
        yield running


async def _done(cli: Any, *arguments: str) -> Any:
    ran = await cli(*arguments, "--json", FARSITE_CLIENT_PASSWORD=PASSWORD)
    assert ran.code == 0, ran.err + ran.out
    return json.loads(ran.out)


async def _invite(running: RunningCloud) -> str:
    """The organization's name."""
    async with CloudClient(running.url, await running.sign_in()) as owner:
        [organization] = await owner.organizations()
        await owner.invite(organization.id, InvitationRequest(emails=[ANN], role=Role.ADMIN))
        return organization.name


async def test_whoever_is_in_no_organization_makes_one(cli: Any, cloud: RunningCloud) -> None:
    login = ("login", cloud.url, "--email", ANN)
    lost = await cli(*login, FARSITE_CLIENT_PASSWORD=PASSWORD)
    assert lost.code == 1 and "--new-organization" in lost.err and "--accept" not in lost.err
    made = await _done(cli, *login, "--new-organization", "Ann's")
    assert (made["organization_name"], made["role"]) == ("Ann's", "owner")
    assert (await _done(cli, "account", "name", "Ann Smith"))["name"] == "Ann Smith"
    await _invite(cloud)
    assert await _done(cli, "invites", "mine") != []
    await _done(cli, "invites", "decline")
    assert await _done(cli, "invites", "mine") == []
    refused = await cli("orgs", "leave", "Ann's", "--yes")
    assert refused.code == 1 and "only owner" in refused.err


async def test_whoever_was_invited_accepts_and_leaves(cli: Any, cloud: RunningCloud) -> None:
    name, login = await _invite(cloud), ("login", cloud.url, "--email", ANN)
    lost = await cli(*login, FARSITE_CLIENT_PASSWORD=PASSWORD)
    assert lost.code == 1 and f"({name})" in lost.err
    accepted = await _done(cli, *login, "--accept", name.upper())
    assert (accepted["organization_name"], accepted["role"]) == (name, "viewer")
    assert (await _done(cli, "orgs", "leave", name, "--yes"))["name"] == name
    assert await _done(cli, "orgs", "list") == []


async def test_an_address_is_changed_by_command(cli: Any, cloud: RunningCloud) -> None:
    await _done(cli, "login", cloud.url, "--email", ANN, "--new-organization", "Ann's")
    await _done(cli, "account", "email", NEW)
    services = cloud.cloud.services
    async with services.database.reading() as session:
        [mail] = [one for one in await outbox(session, services.vault, 100) if one.recipient == NEW]
    command = next(line for line in mail.content.text.splitlines() if "farsite account email" in line)
    assert (await _done(cli, *command.split()[1:]))["email"] == NEW
    assert NEW in (await cli("whoami")).out
    wrong = await cli("account", "email")
    assert wrong.code == 1 and "--code" in wrong.err
