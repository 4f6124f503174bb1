"""`CloudClient` against a cloud that answers, refuses, lies and is away."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from farsite_client.cloud import CloudClient, check_url
from farsite_client.testing import EMAIL, PASSWORD, TOKEN, FakeCloud, edge_host
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def refused(client: CloudClient) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        await client.me()
    return caught.value


async def test_signing_in_keeps_the_token(fake_cloud: FakeCloud) -> None:
    async with CloudClient(fake_cloud.url) as client:
        result = await client.sign_in(EMAIL, PASSWORD)
        me = await client.me()
    assert (result.token, client.token) == (TOKEN, TOKEN)
    assert me.account.email == EMAIL
    assert TOKEN not in repr(result)


async def test_a_wrong_password_is_said_with_its_code(fake_cloud: FakeCloud) -> None:
    async with CloudClient(fake_cloud.url) as client:
        with pytest.raises(FarsiteError, match="password is wrong") as caught:
            await client.sign_in(EMAIL, "wrong")
    assert caught.value.code is ErrorCode.SIGN_IN_FAILED
    assert fake_cloud.requests == [("POST", "/api/v1/auth/sign-in")]


async def test_lists_are_read_page_by_page(fake_cloud: FakeCloud) -> None:
    fake_cloud.edge_hosts = [edge_host(number) for number in range(7)]
    async with CloudClient(fake_cloud.url, TOKEN) as client:
        names = [edge.name async for edge in client.edge_hosts("org1", page_size=3)]
    assert names == [f"Site {number}" for number in range(7)]
    assert len(fake_cloud.requests) == 3


async def test_safe_calls_are_repeated_when_the_cloud_says_when(fake_cloud: FakeCloud) -> None:
    fake_cloud.failures = [FarsiteError(ErrorCode.RATE_LIMITED, "Slow down.", retry_after=0)]
    fake_cloud.failures[0].retry_after = 0.001
    async with CloudClient(fake_cloud.url, TOKEN) as client:
        await client.me()
    assert len(fake_cloud.requests) == 2


async def test_calls_that_change_something_are_never_repeated(fake_cloud: FakeCloud) -> None:
    fake_cloud.failures = [FarsiteError(ErrorCode.UNAVAILABLE, "Busy.", retry_after=1)]
    async with CloudClient(fake_cloud.url, TOKEN) as client:
        with pytest.raises(FarsiteError, match="Busy"):
            await client.setup_code("org1", "Shop")
    assert len(fake_cloud.requests) == 1


async def test_creations_carry_a_key_of_their_own(fake_cloud: FakeCloud) -> None:
    async with CloudClient(fake_cloud.url, TOKEN) as client:
        await client.setup_code("org1", "Shop")
        await client.setup_code("org1", "Shop")
    keys = [headers["Idempotency-Key"] for headers in fake_cloud.headers]
    assert len(set(keys)) == 2


async def test_a_cloud_that_is_down_is_named() -> None:
    port = closed_port()
    async with CloudClient(f"http://127.0.0.1:{port}", TOKEN) as client:
        error = await refused(client)
    assert error.code is ErrorCode.CLOUD_UNREACHABLE
    assert f"127.0.0.1:{port}" in error.detail


async def test_a_name_that_does_not_exist_is_named() -> None:
    async with CloudClient("http://cloud.invalid", TOKEN) as client:
        error = await refused(client)
    assert error.code is ErrorCode.CLOUD_UNREACHABLE
    assert "cloud.invalid" in error.detail


async def test_an_untrusted_certificate_says_what_to_do(fake_cloud: FakeCloud, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = TestServer(fake_cloud.app(), scheme="https")
    await server.start_server(ssl=context)
    url = f"https://127.0.0.1:{server.port}"
    async with CloudClient(url, TOKEN) as client:
        error = await refused(client)
    assert error.code is ErrorCode.CERTIFICATE_INVALID
    assert "--ca-file" in error.detail and f"127.0.0.1:{server.port}" in error.detail

    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    async with CloudClient(url, TOKEN, ca_file=str(file)) as client:
        assert (await client.me()).account.email == EMAIL
    await server.close()


async def test_plain_http_behind_https_is_said(fake_cloud: FakeCloud) -> None:
    async with CloudClient(fake_cloud.url.replace("http://", "https://"), TOKEN) as client:
        error = await refused(client)
    assert error.code is ErrorCode.CLOUD_UNREACHABLE
    assert "TLS" in error.detail


@pytest.mark.parametrize(("shift", "way"), [(612.0, "behind"), (-900.0, "ahead of")])
async def test_a_refusal_names_the_clock_when_it_is_far_off(
    fake_cloud: FakeCloud, shift: float, way: str
) -> None:
    fake_cloud.clock = shift
    async with CloudClient(fake_cloud.url, "expired") as client:
        error = await refused(client)
    assert error.code is ErrorCode.TOKEN_EXPIRED
    assert way in error.detail and str(abs(int(shift)))[0] in error.detail
    assert client.clock_offset == pytest.approx(shift, abs=2)


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, ErrorCode.PROTOCOL_ERROR), (500, ErrorCode.INTERNAL), (404, ErrorCode.NOT_FOUND)],
)
async def test_something_else_than_a_cloud_is_not_believed(status: int, code: ErrorCode) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<h1>It works!</h1>", content_type="text/html", status=status)

    app = web.Application()
    app.router.add_get("/api/v1/me", page)
    server = TestServer(app)
    await server.start_server()
    async with CloudClient(str(server.make_url("")), TOKEN) as client:
        error = await refused(client)
    assert error.code is code
    assert "127.0.0.1" in error.detail
    await server.close()


async def test_a_redirect_never_gets_the_token() -> None:
    async def move(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://elsewhere.invalid/")

    app = web.Application()
    app.router.add_get("/api/v1/me", move)
    server = TestServer(app)
    await server.start_server()
    async with CloudClient(str(server.make_url("")), TOKEN) as client:
        error = await refused(client)
    assert "elsewhere.invalid" in error.detail
    await server.close()


async def test_a_proxy_that_wants_a_password_is_told_apart() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for url in ("http://cloud.invalid", "https://cloud.invalid"):
            async with CloudClient(url, TOKEN, proxy=f"http://me:bad@127.0.0.1:{port}") as client:
                error = await refused(client)
            assert error.code is ErrorCode.PROXY_AUTHENTICATION
            assert "bad" not in error.detail


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_away_is_told_apart(scheme: str) -> None:
    async with CloudClient(
        "http://cloud.invalid", TOKEN, proxy=f"{scheme}://127.0.0.1:{closed_port()}"
    ) as client:
        error = await refused(client)
    assert error.code is ErrorCode.PROXY_UNREACHABLE


async def socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 1928 and 1929, for the user `me` with the password `good`; every name is this machine."""
    count = (await reader.readexactly(2))[1]
    await reader.readexactly(count)
    writer.write(b"\x05\x02")
    user = await reader.readexactly((await reader.readexactly(2))[1])
    password = await reader.readexactly((await reader.readexactly(1))[0])
    if (user, password) != (b"me", b"good"):
        writer.write(b"\x01\x01")
        writer.close()
        return
    writer.write(b"\x01\x00")
    _, _, _, kind = await reader.readexactly(4)
    assert kind == 3, "the proxy resolves names"
    await reader.readexactly((await reader.readexactly(1))[0])
    port = int.from_bytes(await reader.readexactly(2), "big")
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x05\x00\x00\x01" + bytes(6))

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        target.close()

    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def test_socks5_carries_calls_and_resolves_names(fake_cloud: FakeCloud) -> None:
    cloud_port = fake_cloud.url.rpartition(":")[2]
    async with await asyncio.start_server(socks, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://cloud.invalid:{cloud_port}"
        async with CloudClient(url, TOKEN, proxy=f"socks5://me:good@127.0.0.1:{port}") as client:
            assert (await client.me()).account.email == EMAIL
        async with CloudClient(url, TOKEN, proxy=f"socks5://me:bad@127.0.0.1:{port}") as client:
            error = await refused(client)
    assert error.code is ErrorCode.PROXY_AUTHENTICATION


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://user@x", "https://x?y=1", "http://[::1", ""])
def test_bad_addresses_are_refused(url: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        check_url(url)
    assert caught.value.code is ErrorCode.SETTING_INVALID


def test_https_is_meant_when_nothing_is_said() -> None:
    assert check_url(" cloud.example.com/ ") == "https://cloud.example.com"
