"""Local ports over a tunnel: bytes, refusals, lost tunnels."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from farsite_client.apiport import ApiPort
from farsite_client.forward import LocalPort, Streams
from farsite_client.session import RemoteSession
from farsite_client.testing import Site, memory_session, served
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SIZE = 32 * 1024 * 1024


async def page(request: web.Request) -> web.Response:
    return web.Response(text=f"camera for {request.host}")


async def upload(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for part in request.content.iter_any():
        digest.update(part)
    return web.Response(text=digest.hexdigest())


async def download(request: web.Request) -> web.Response:
    return web.Response(body=request.app["data"])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    app = web.Application(client_max_size=2 * SIZE)
    app["data"] = os.urandom(SIZE)
    app.add_routes([web.get("/", page), web.post("/up", upload), web.get("/down", download)])
    async with served(app) as runner:
        site = Site()
        site.device = site.api = runner
        yield site


@pytest.fixture
async def session(site: Site) -> AsyncIterator[RemoteSession]:
    async with memory_session(site) as (session, _):
        yield session


def local(session: RemoteSession, *, guarded: bool) -> LocalPort:
    async def stream() -> Streams:
        return await session.open_device("00408C123456")

    return LocalPort(stream, guarded=guarded)


pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")


@pytest.mark.parametrize("guarded", [True, False])
async def test_the_devices_page_opens(session: RemoteSession, guarded: bool) -> None:
    async with (
        local(session, guarded=guarded) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port.port}/") as response,
    ):
        assert await response.text() == f"camera for 127.0.0.1:{port.port}"


async def test_a_rebound_name_reaches_nothing(session: RemoteSession) -> None:
    async with local(session, guarded=True) as port, aiohttp.ClientSession() as http:
        async with http.get(
            f"http://127.0.0.1:{port.port}/", headers={"Host": f"attacker.example:{port.port}"}
        ) as response:
            assert response.status == 403
            assert "attacker.example" in await response.text()
        assert session.status().streams == 0
        assert port.last_error is not None and port.last_error.code is ErrorCode.FORBIDDEN


async def test_many_megabytes_arrive_whole_both_ways(session: RemoteSession, site: Site) -> None:
    assert site.device is not None
    data: bytes = site.device.app["data"]
    expected = hashlib.sha256(data).hexdigest()
    async with local(session, guarded=True) as port, aiohttp.ClientSession() as http:
        base = f"http://127.0.0.1:{port.port}"
        async with http.get(f"{base}/down") as response:
            assert hashlib.sha256(await response.read()).hexdigest() == expected
        async with http.post(f"{base}/up", data=io.BytesIO(data)) as response:
            assert await response.text() == expected


async def test_many_connections_at_once(session: RemoteSession) -> None:
    async with local(session, guarded=False) as port, aiohttp.ClientSession() as http:

        async def fetch() -> str:
            async with http.get(f"http://127.0.0.1:{port.port}/") as response:
                return await response.text()

        answers = await asyncio.gather(*[fetch() for _ in range(40)])
    assert len(set(answers)) == 1


async def test_a_refused_stream_is_answered_in_http(session: RemoteSession, site: Site) -> None:
    site.refuse = FarsiteError(ErrorCode.FORBIDDEN, "A viewer may not open device pages.", right="device.web")
    async with (
        local(session, guarded=True) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port.port}/") as response,
    ):
        assert response.status == 403
        assert "viewer may not" in await response.text()


async def test_a_refused_stream_closes_a_plain_connection(session: RemoteSession, site: Site) -> None:
    site.refuse = FarsiteError(ErrorCode.DEVICE_UNKNOWN, "No such device.")
    async with local(session, guarded=False) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_lost_tunnel_ends_its_connections(site: Site) -> None:
    async with memory_session(site) as (session, link), local(session, guarded=False) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        link.cut()
        with pytest.raises(ConnectionResetError):
            while await reader.read(1000):
                pass
        writer.close()


async def test_a_taken_port_is_said(session: RemoteSession) -> None:
    async with local(session, guarded=True) as port:
        with pytest.raises(FarsiteError) as caught:
            async with LocalPort(lambda: session.open_device("x"), port=port.port, guarded=True):
                pass
    assert caught.value.code is ErrorCode.PORT_TAKEN
    assert str(port.port) in caught.value.detail


async def test_the_api_port_needs_its_token(session: RemoteSession) -> None:
    async def live() -> RemoteSession:
        return session

    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(ApiPort(live))
        jar = aiohttp.CookieJar(unsafe=True)
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        async with http.get(f"{port.base}/") as response:
            assert response.status == 401
        async with http.get(f"{port.base}/", headers={"Authorization": f"Bearer {port.token}"}) as response:
            assert await response.text() == "camera for edge"
        async with http.get(f"{port.base}/?token={port.token}", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        async with http.get(f"{port.base}/") as response:
            assert response.status == 200
        async with http.get(f"{port.base}/", headers={"Host": "attacker.example"}) as response:
            assert response.status == 403
        async with http.post(f"{port.base}/up", headers={"Origin": "https://attacker.example"}) as response:
            assert response.status == 403


async def test_two_api_ports_are_open_in_one_browser(session: RemoteSession) -> None:
    async def live() -> RemoteSession:
        return session

    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(ApiPort(live)) for _ in range(2)]
        jar = aiohttp.CookieJar(unsafe=True)
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        for port in ports:
            await http.get(f"{port.base}/?token={port.token}", allow_redirects=False)
        for port in ports:
            async with http.get(f"{port.base}/") as response:
                assert response.status == 200


async def test_requests_over_a_cut_tunnel_say_why(site: Site) -> None:
    async with memory_session(site) as (session, link):
        link.cut(FarsiteError(ErrorCode.PEER_TIMEOUT, "The edge host fell silent."))
        await session.wait_closed()
        with pytest.raises(FarsiteError) as caught:
            await session.edge.status()
    assert caught.value.code in (ErrorCode.PEER_TIMEOUT, ErrorCode.CLOSED, ErrorCode.PEER_UNREACHABLE)
