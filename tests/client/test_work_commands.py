"""`farsite campaigns|policy-templates|notices|webhooks` as processes against a real cloud."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD, RunningCloud, run_cloud
from farsite_signaling.identity import generate_key, make_request

# Many processes in a row, each of which takes its time where the machine is busy.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def cloud() -> AsyncIterator[RunningCloud]:
    async with run_cloud(outbound_allowed=["127.0.0.1/32"]) as running:
        yield running


async def _done(cli: Any, *arguments: str, code: int = 0) -> Any:
    ran = await cli(*arguments, "--json")
    assert ran.code == code, ran.err + ran.out
    return json.loads(ran.out.splitlines()[-1]) if ran.out else None


async def _log_in(cli: Any, running: RunningCloud) -> None:
    variables = {"FARSITE_CLIENT_PASSWORD": OWNER_PASSWORD}
    ran = await cli("login", running.url, "--email", OWNER_EMAIL, **variables)
    assert ran.code == 0, ran.err


async def test_a_campaign_by_command(cli: Any, cloud: RunningCloud, tmp_path: Path) -> None:
    csr = make_request(generate_key(), "edge")
    await cloud.request("POST", "/claims", {"code": await cloud.setup_code("Dock"), "csr": csr})
    await _log_in(cli, cloud)
    plan = ("--stages", "50,100", "--max-failures", "2", "--window", "22:00-04:00", "--below", "11.0")
    made = await _done(cli, "campaigns", "upgrade", "--model", "P1", "--edge", "Dock", "--to", "11.1", *plan)
    assert made["rollout"]["stages"] == [50, 100] and made["rollout"]["site"]["window"]["start"] == "22:00:00"
    assert made["selection"] == {
        "devices": None,
        "models": ["P1"],
        "device_types": None,
        "version_below": "11.0",
    }
    short = made["id"][-6:]
    async with asyncio.timeout(20):
        while "offline_waiting" not in (await cli("campaigns", "show", short)).out:
            pass
    await _done(cli, "campaigns", "pause", short)
    shown = await _done(cli, "campaigns", "show", short, "--wait", code=1)
    assert shown["campaign"]["state"] == "paused"
    await _done(cli, "campaigns", "resume", short, "--max-failures", "5")
    assert (await _done(cli, "campaigns", "cancel", short, "--wait"))["state"] == "cancelled"
    again = await _done(cli, "campaigns", "retry", short)
    assert again["retry_of"] == made["id"]
    assert len(await _done(cli, "campaigns", "list")) == 2
    await _done(cli, "campaigns", "remove", short)
    assert len(await _done(cli, "campaigns", "list", "--open")) == 1
    document = tmp_path / "document.json"
    document.write_text(
        json.dumps({"kind": "security", "name": "x", "settings": {"ssh": False, "password_policy": "length"}})
    )
    await _done(cli, "policy-templates", "create", "Branch", str(document))
    assert (await _done(cli, "policy-templates", "update", "branch", str(document)))["version"] == 2
    applied = await _done(cli, "campaigns", "policy", "Branch", "--model", "P1")
    assert applied["parameters"]["document"]["revision"] == 2
    wrong = await cli("campaigns", "start", "coffee.make")
    assert wrong.code == 1 and "os.upgrade" in wrong.err


async def test_notices_and_webhooks_by_command(cli: Any, cloud: RunningCloud) -> None:
    received: list[dict[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        received.append(dict(request.headers))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    async with TestServer(app) as server:
        await _log_in(cli, cloud)
        made = await _done(cli, "webhooks", "create", "Chat", str(server.make_url("/hook")))
        assert made["secret"].startswith("whsec_")
        assert (await _done(cli, "webhooks", "test", "Chat"))["state"] == "delivered"
        assert received[0]["webhook-signature"].startswith("v1,")
        assert (await _done(cli, "webhooks", "deliveries", "Chat"))[0]["status"] == 200
        await _done(cli, "webhooks", "secret", "Chat")
        assert (await _done(cli, "webhooks", "change", "Chat", "--off"))["enabled"] is False
    assert (await cli("webhooks", "test", "Chat")).code == 1
    await _done(cli, "invites", "send", "ann@example.com", "--all-folders")
    async with asyncio.timeout(60):
        while not (found := await _done(cli, "notices", "list", "--unread")):
            pass
    assert found[0]["kind"] == "invitation" and "ann@example.com" in found[0]["title"]
    assert (await _done(cli, "notices", "read"))["unread"] == 0
    [choice] = await _done(cli, "notices", "choose", "invitation", "--channel", "mail")
    assert choice["channels"] == ["mail"]
    assert "invitation" in (await cli("notices", "choices")).out
    assert (await _done(cli, "notices", "settings", "--offline-after", "10"))["offline_after_minutes"] == 10
    await _done(cli, "webhooks", "remove", "Chat")
    assert await _done(cli, "webhooks", "list") == []
