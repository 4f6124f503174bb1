"""What the command line says of sign-ins that end, of support that is given up; what an edit says of what was read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from farsite_client.cloud import CloudClient
from farsite_client.read_before import ReadBefore
from farsite_cloud.accounts.service import create_account, find_account
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, run_cloud
from farsite_signaling.wire.access_api import SupportRequest
from farsite_signaling.wire.rights import Role

LOGIN = {"FARSITE_CLIENT_PASSWORD": OWNER_PASSWORD}
SIGN_IN_NEEDED = 3


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


async def _done(cli: Any, *arguments: str, **more: str) -> Any:
    ran = await cli(*arguments, "--json", **more)
    assert ran.code == 0, ran.err + ran.out
    return json.loads(ran.out) if ran.out else None


async def test_signed_out_after_days_without_use(cli: Any) -> None:
    clock = Clock()
    async with run_cloud(clock=clock) as cloud:
        await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, **LOGIN)
        changed = await _done(cli, "orgs", "change", "--sign-in-idle-days", "5", "--sign-in-days", "40")
        assert (changed["sign_in_idle_days"], changed["sign_in_days"]) == (5, 40)
        table = (await cli("account", "sessions")).out
        assert "ENDS UNUSED" in table and f"{clock.now + timedelta(days=5):%Y-%m-%d}" in table
        clock.now += timedelta(days=6)
        ran = await cli("folders", "list")
        assert ran.code == SIGN_IN_NEEDED
        assert "You were signed out after 5 days without use. Sign in again (farsite login)." in ran.err
        await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, **LOGIN)
        assert (await cli("folders", "list")).code == 0


async def test_support_is_given_up_by_command(cli: Any, tmp_path: Path) -> None:
    async with run_cloud() as cloud:
        services = cloud.cloud.services
        async with services.database.writing() as session:
            owner = await find_account(session, OWNER_EMAIL)
            assert owner is not None
            create_account(session, "ann@example.com", owner.password_hash, services.clock())
        await _done(cli, "login", cloud.url, "--email", OWNER_EMAIL, **LOGIN)
        async with CloudClient(cloud.url, await cloud.sign_in()) as client:
            [organization] = await client.organizations()
            until = services.clock() + timedelta(hours=1)
            request = SupportRequest(email="ann@example.com", role=Role.ADMIN, until=until, reason="x")
            await client.grant_support(organization.id, request)
        ann = {"FARSITE_CLIENT_HOME": str(tmp_path / "ann")} | LOGIN
        await _done(cli, "login", cloud.url, "--email", "ann@example.com", **ann)
        assert (await _done(cli, "support", "leave", organization.name, **ann))["left"] == organization.id
        assert (await _done(cli, "orgs", "list", **ann)) == []
        [access] = await _done(cli, "support", "list", "--all")
        assert (access["active"], access["ended_by"]) == (False, "ann@example.com")


def test_what_was_read_is_remembered_by_what_it_is_of() -> None:
    read = ReadBefore()
    read.answered("GET", "/organizations/o/edge-hosts/e", {"ETag": '"1"'})
    assert read.headers("GET", "/organizations/o/edge-hosts/e") == {}
    for path in ("", "/devices", "/certificate"):
        assert read.headers("DELETE", f"/organizations/o/edge-hosts/e{path}") == {"If-Match": '"1"'}
    assert read.headers("PATCH", "/organizations/o/edge-hosts/other") == {}
    assert read.headers("POST", "/organizations/o/edge-hosts/e/sessions") == {}
    read.answered("PATCH", "/organizations/o/edge-hosts/e", {"ETag": '"2"'})
    assert read.headers("PATCH", "/organizations/o/edge-hosts/e") == {"If-Match": '"2"'}
    read.answered("DELETE", "/organizations/o/edge-hosts/e", {})
    assert read.headers("DELETE", "/organizations/o/edge-hosts/e") == {}
    read.answered("GET", "/organizations/o", {"ETag": '"7"'})
    assert read.headers("POST", "/organizations/o/deletion") == {"If-Match": '"7"'}
    assert read.headers("GET", "/organizations/o/devices") == {}, "a list below it, which is read only"
    read.forget()
    assert read.headers("POST", "/organizations/o/deletion") == {}
