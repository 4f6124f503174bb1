"""Claiming: what goes wrong leaves the edge host unclaimed and says why."""

from __future__ import annotations

import base64
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_edge import commands
from farsite_edge.claim.cloud import normal_cloud_url
from farsite_edge.core import EdgeCore
from farsite_edge.testing import RunningEdge, run_edge, test_settings
from farsite_signaling.identity import generate_key, make_request
from farsite_signaling.wire.edge_api import ClaimRequest, EdgeState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId

GOOD = "GOOD-CODE"


def request(url: str, code: str = GOOD, **more: object) -> ClaimRequest:
    return ClaimRequest.model_validate({"cloud_url": url, "code": code, **more})


async def test_claim_and_restart(small_cloud, tmp_path: Path) -> None:
    async with run_edge(tmp_path) as edge:
        before = edge.host.info()
        await edge.claim(small_cloud.url + "/", GOOD, remote_access=True)
        after = edge.host.info()
        assert before.state is EdgeState.UNCLAIMED
        assert (after.state, after.id, after.name) == (EdgeState.CLAIMED, "edge1", "Site one")
        assert after.organization == "Test"
        assert after.fingerprint != before.fingerprint
        assert await edge.wait_for("claimed") == {
            "name": "urn:farsite:org1:edge:edge1",
            "organization": "Test",
        }
        with pytest.raises(FarsiteError) as caught:
            await edge.claim(small_cloud.url, GOOD)
        assert caught.value.code is ErrorCode.ALREADY_CLAIMED
    async with run_edge(tmp_path) as edge:
        assert edge.host.info() == after.model_copy(update={"https_port": edge.host.https_port})
        assert edge.host.preferences.remote_access


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("WRONG", ErrorCode.SETUP_CODE_INVALID),
        ("USED-CODE", ErrorCode.SETUP_CODE_USED),
        ("OLD-CODE", ErrorCode.SETUP_CODE_EXPIRED),
    ],
)
async def test_a_code_that_does_not_work(code: str, expected: ErrorCode, small_cloud, tmp_path: Path) -> None:
    await refused(tmp_path, request(small_cloud.url, code, remote_access=True), expected)


async def refused(folder: Path, body: ClaimRequest, expected: ErrorCode) -> FarsiteError:
    settings = test_settings(folder)
    with pytest.raises(FarsiteError) as caught:
        await commands.claim(settings, body)
    assert caught.value.code is expected
    async with EdgeCore(settings) as core:
        assert core.keeper.claim is None
        assert not core.preferences.remote_access
    return caught.value


async def test_a_clock_ten_minutes_off(small_cloud, tmp_path: Path) -> None:
    small_cloud.clock_off = timedelta(minutes=10)
    error = await refused(tmp_path, request(small_cloud.url), ErrorCode.CLOCK_SKEW)
    assert "600 s behind" in error.detail or "599 s behind" in error.detail


async def test_the_clock_is_compared_before_the_code_is_spent(tmp_path: Path) -> None:
    async def wrong_date(_: web.Request) -> web.Response:
        return web.Response(headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})

    spent = []

    async def claims(incoming: web.Request) -> web.Response:
        spent.append(incoming)
        return web.Response()

    app = web.Application()
    app.router.add_get("/healthz", wrong_date)
    app.router.add_post("/api/v1/claims", claims)
    async with TestServer(app) as server:
        error = await refused(tmp_path, request(str(server.make_url(""))), ErrorCode.CLOCK_SKEW)
    assert "ahead of" in error.detail
    assert not spent


async def test_the_cloud_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = await refused(tmp_path, request(url), ErrorCode.CLOUD_UNREACHABLE)
    assert url in error.detail


async def test_something_else_answers(tmp_path: Path) -> None:
    async with TestServer(web.Application()) as server:
        url = str(server.make_url(""))
        error = await refused(tmp_path, request(url), ErrorCode.CLOUD_UNREACHABLE)
    assert "like a Farsite cloud" in error.detail


def another_key(cloud) -> dict[str, str]:
    name = EdgeName(OrgId("org1"), EdgeId("edge1"))
    return {"certificate": cloud.ca.issue(make_request(generate_key(), "x"), name)}


@pytest.mark.parametrize(
    "spoil",
    [
        another_key,
        lambda cloud: {"ca": cloud.other_ca.pem},
        lambda cloud: {"edge_id": "other"},
        lambda cloud: {"organization_id": "other"},
        lambda cloud: {"name": "urn:farsite:org1:edge:other"},
        lambda cloud: {"grant_key": "none"},
        lambda cloud: {"hub_url": "file:///etc/passwd"},
    ],
)
async def test_an_answer_that_proves_nothing(spoil, small_cloud, tmp_path: Path) -> None:
    small_cloud.spoil = spoil(small_cloud)
    await refused(tmp_path, request(small_cloud.url), ErrorCode.CERTIFICATE_INVALID)


async def proxy_server(password: str) -> TestServer:
    """A forward proxy for plain HTTP that wants a password."""
    wanted = "Basic " + base64.b64encode(f"user:{password}".encode()).decode()

    async def forward(incoming: web.BaseRequest) -> web.Response:
        import aiohttp

        if incoming.headers.get("Proxy-Authorization") != wanted:
            return web.Response(status=407, headers={"Proxy-Authenticate": 'Basic realm="p"'})
        async with (
            aiohttp.ClientSession() as session,
            session.request(incoming.method, str(incoming.url), data=await incoming.read()) as answer,
        ):
            kept = {name: answer.headers[name] for name in ("Content-Type", "Date") if name in answer.headers}
            return web.Response(body=await answer.read(), status=answer.status, headers=kept)

    from aiohttp.test_utils import RawTestServer

    server = RawTestServer(forward)
    await server.start_server()
    return server  # type: ignore[return-value]


@pytest.mark.parametrize("password", ["right", "canary-wrong"])
async def test_through_a_proxy(password: str, small_cloud, tmp_path: Path) -> None:
    server = await proxy_server("right")
    address = f"http://user:{password}@127.0.0.1:{server.port}"
    body = request(small_cloud.url, proxy_address=address)
    try:
        if password == "right":
            async with run_edge(tmp_path) as edge:
                await edge.host.claim(body)
                shown = await edge.host.preferences.shown()
                assert shown.proxy_address == f"http://user:***@127.0.0.1:{server.port}"
        else:
            error = await refused(tmp_path, body, ErrorCode.PROXY_AUTHENTICATION)
            assert "canary" not in error.detail
            assert small_cloud.claims == 0
    finally:
        await server.close()


async def test_a_running_edge_host_picks_up_a_claim_of_the_command_line(small_cloud, tmp_path: Path) -> None:
    async with run_edge(tmp_path) as edge:
        info = await commands.claim(edge.host.settings, request(small_cloud.url, remote_access=True))
        assert info == edge.host.info()
        assert info.state is EdgeState.CLAIMED
        status = await commands.status(edge.host.settings)
        assert status.remote_access
        assert not status.remote_access_active
        assert status.cloud_url == small_cloud.url
        # The small cloud has no hub: the edge host goes on and says why it is offline.
        await edge.wait_for("cloud_offline")
        shown = await commands.settings(edge.host.settings, {"remote_access": False, "name": "New"})
        assert (shown.name, shown.remote_access) == ("New", False)


async def test_claimed_without_running(small_cloud, tmp_path: Path) -> None:
    settings = test_settings(tmp_path)
    assert (await commands.claim(settings, request(small_cloud.url))).state is EdgeState.CLAIMED
    async with run_edge(tmp_path) as edge:
        assert edge.host.info().state is EdgeState.CLAIMED


async def test_renewal(claimed: RunningEdge, small_cloud) -> None:
    before = claimed.host.info().fingerprint
    await claimed.host.renewal.renew()
    assert claimed.host.info().fingerprint != before
    small_cloud.spoil = another_key(small_cloud)
    now = claimed.host.info().fingerprint
    with pytest.raises(FarsiteError):
        await claimed.host.renewal.renew()
    assert claimed.host.info().fingerprint == now


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cloud.example.com", "https://cloud.example.com"),
        ("https://cloud.example.com:8443/", "https://cloud.example.com:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
    ],
)
def test_cloud_addresses(text: str, expected: str) -> None:
    assert normal_cloud_url(text, allow_http=False) == expected


@pytest.mark.parametrize(
    "text",
    ["http://cloud.example.com", "ftp://x", "https://user@x", "https://", "https://[::1", "https://x?y"],
)
def test_cloud_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        normal_cloud_url(text, allow_http=False)
    assert caught.value.code is ErrorCode.SETTING_INVALID
