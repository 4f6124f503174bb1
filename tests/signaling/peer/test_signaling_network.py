"""The signaling client through proxies and TLS, with a real squid, and what it says when the way is barred."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from farsite_signaling.hub import Hub
from farsite_signaling.hub.testing import MemoryOrganization
from farsite_signaling.peer.signaling import SignalingClient, SignalingState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import HUB_PATH, SessionEnded

OFFLINE, REFUSED = SignalingState.OFFLINE, SignalingState.REFUSED
# The authentication helper speaks squid's line protocol: "user password" in, OK or ERR out.
_HELPER = """#!/bin/sh
while read line; do
  if [ "$line" = "anna se%20cret" ]; then echo OK; else echo ERR; fi
done
"""
_CONFIG = """
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
access_log none
cache deny all
coredump_dir {folder}
{user}
auth_param basic program {folder}/helper.sh
auth_param basic children 1
acl known proxy_auth REQUIRED
acl hub port {allowed}
http_access deny !hub
http_access allow known
http_access deny all
shutdown_lifetime 0 seconds
pinger_enable off
visible_hostname test
"""


@pytest.fixture
async def squid() -> AsyncIterator[Any]:
    """`await squid(hub_port)` gives the port of a squid that lets `anna` with `se cret` through to that port."""
    program = shutil.which("squid") or "/usr/sbin/squid"
    if not Path(program).exists() and not os.environ.get("CI"):
        pytest.skip("squid is not installed")
    processes: list[subprocess.Popen[bytes]] = []
    folders = contextlib.ExitStack()

    async def start(allowed: int) -> int:
        # Not in pytest's folder: that is closed to the user squid runs as.
        folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="farsite-squid-")))
        port = free_port()
        folder.chmod(0o755)
        (folder / "helper.sh").write_text(_HELPER)
        (folder / "helper.sh").chmod(0o755)
        user = "cache_effective_user proxy" if os.geteuid() == 0 else ""
        if user:
            os.chown(folder, pwd.getpwnam("proxy").pw_uid, -1)
        config = _CONFIG.format(port=port, folder=folder, allowed=allowed, user=user)
        (folder / "squid.conf").write_text(config)
        # Instances of one service name share memory segments, and so get in each other's way.
        command = [program, "-N", "-n", f"farsite{port}", "-f", str(folder / "squid.conf")]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        await until_listening(port)
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)
    folders.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_listening(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(ConnectionError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return await writer.wait_closed()
            await asyncio.sleep(0.02)


class SocksServer:
    """SOCKS5 with CONNECT to names (RFC 1928), user name and password (RFC 1929). Keeps the hosts asked for."""

    def __init__(self, login: tuple[str, str] | None = None, reply: int = 0) -> None:
        self._login = login
        self._reply = reply
        self.hosts: list[str] = []
        self.port = 0

    async def __aenter__(self) -> SocksServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._conversation(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _conversation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 0 if self._login is None else 2
        writer.write(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted and not await self._logged_in(reader, writer):
            return
        await reader.readexactly(3)
        host, port = await self._destination(reader)
        self.hosts.append(host)
        writer.write(bytes([5, self._reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        if self._reply == 0:
            await self._forward(reader, writer, port)

    async def _logged_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reader.readexactly(1)
        fields = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
        good = tuple(fields) == self._login
        writer.write(bytes([1, 0 if good else 1]))
        return good

    async def _destination(self, reader: asyncio.StreamReader) -> tuple[str, int]:
        match (await reader.readexactly(1))[0]:
            case 1:
                host = socket.inet_ntoa(await reader.readexactly(4))
            case _:
                host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        return host, struct.unpack("!H", await reader.readexactly(2))[0]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, downstream))
            group.create_task(pump(upstream, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def test_squid_with_the_right_password(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, squid: Any
) -> None:
    server = await start_hub()
    port = await squid(server.port)
    peer = await start_peer(server.url, organization.edge(), proxy=f"http://anna:se%20cret@127.0.0.1:{port}")
    await server.hub.notify(peer.urn, SessionEnded(session="s1"))
    assert (await peer.receive()).session == "s1"


@pytest.mark.parametrize("login", ["anna:wrong@", ""])
async def test_squid_with_a_wrong_password(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, squid: Any, login: str
) -> None:
    server = await start_hub()
    port = await squid(server.port)
    proxy = f"http://{login}127.0.0.1:{port}"
    peer = await start_peer(server.url, organization.edge(), proxy=proxy, wait=False)
    error = await peer.until(REFUSED)
    assert error.code is ErrorCode.PROXY_AUTHENTICATION
    assert f"127.0.0.1:{port}" in error.detail
    assert "wrong" not in error.detail


async def test_squid_that_does_not_allow_the_port(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, squid: Any
) -> None:
    server = await start_hub()
    port = await squid(1)
    proxy = f"http://anna:se%20cret@127.0.0.1:{port}"
    peer = await start_peer(server.url, organization.edge(), proxy=proxy, wait=False)
    error = await peer.until(OFFLINE)
    assert (error.code, "CONNECT" in error.detail) == (ErrorCode.PROXY_UNREACHABLE, True)


async def test_squid_that_cannot_reach_the_hub(
    organization: MemoryOrganization, start_peer: Any, squid: Any
) -> None:
    nobody = free_port()
    port = await squid(nobody)
    proxy = f"http://anna:se%20cret@127.0.0.1:{port}"
    url = f"ws://127.0.0.1:{nobody}/hub"
    peer = await start_peer(url, organization.edge(), proxy=proxy, wait=False)
    error = await peer.until(OFFLINE)
    assert (error.code, f"127.0.0.1:{port}" in error.detail) == (ErrorCode.CLOUD_UNREACHABLE, True)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_proxy_that_is_not_running(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, scheme: str
) -> None:
    server = await start_hub()
    port = free_port()
    proxy = f"{scheme}://anna:hunter2@127.0.0.1:{port}"
    peer = await start_peer(server.url, organization.edge(), proxy=proxy, wait=False)
    error = await peer.until(OFFLINE)
    assert error.code is ErrorCode.PROXY_UNREACHABLE
    assert f"127.0.0.1:{port}" in error.detail
    assert "hunter2" not in str(error)


async def test_something_that_is_no_proxy(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any
) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    hub = await start_hub()
    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        peer = await start_peer(hub.url, organization.edge(), proxy=f"127.0.0.1:{port}", wait=False)
        error = await peer.until(OFFLINE)
        await peer.client.__aexit__(None, None, None)
    assert (error.code, "HTTP proxy" in error.detail) == (ErrorCode.PROXY_UNREACHABLE, True)


@pytest.mark.parametrize("login", [None, ("anna", "s@cret")])
async def test_socks_proxy_resolves_names_itself(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, login: tuple[str, str] | None
) -> None:
    server = await start_hub()
    async with SocksServer(login) as socks:
        user = "" if login is None else "anna:s%40cret@"
        url = f"ws://only-the-proxy-knows.invalid:{server.port}/hub"
        peer = await start_peer(url, organization.edge(), proxy=f"socks5://{user}127.0.0.1:{socks.port}")
        await server.hub.notify(peer.urn, SessionEnded(session="s1"))
        assert (await peer.receive()).session == "s1"
        assert socks.hosts == ["only-the-proxy-knows.invalid"]
        await peer.client.__aexit__(None, None, None)


@pytest.mark.parametrize("user", ["anna:wrong@", ""])
async def test_socks_proxy_with_a_wrong_password(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, user: str
) -> None:
    server = await start_hub()
    async with SocksServer(("anna", "right")) as socks:
        proxy = f"socks5://{user}127.0.0.1:{socks.port}"
        peer = await start_peer(server.url, organization.edge(), proxy=proxy, wait=False)
        error = await peer.until(REFUSED)
        await peer.client.__aexit__(None, None, None)
    assert error.code is ErrorCode.PROXY_AUTHENTICATION
    assert "wrong" not in error.detail


@pytest.mark.parametrize(
    ("reply", "code"), [(5, ErrorCode.CLOUD_UNREACHABLE), (2, ErrorCode.PROXY_UNREACHABLE)]
)
async def test_socks_proxy_that_does_not_connect(
    organization: MemoryOrganization, start_hub: Any, start_peer: Any, reply: int, code: ErrorCode
) -> None:
    server = await start_hub()
    async with SocksServer(reply=reply) as socks:
        proxy = f"socks5://127.0.0.1:{socks.port}"
        peer = await start_peer(server.url, organization.edge(), proxy=proxy, wait=False)
        error = await peer.until(OFFLINE)
        await peer.client.__aexit__(None, None, None)
    assert error.code is code


async def test_name_that_does_not_resolve(organization: MemoryOrganization, start_peer: Any) -> None:
    peer = await start_peer("ws://nowhere.invalid/hub", organization.edge(), wait=False)
    error = await peer.until(OFFLINE)
    assert error.code is ErrorCode.CLOUD_UNREACHABLE
    assert "nowhere.invalid" in error.detail and "DNS" in error.detail


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, ErrorCode.CLOUD_UNREACHABLE), (403, ErrorCode.FORBIDDEN), (503, ErrorCode.CLOUD_UNREACHABLE)],
)
async def test_http_answers_instead_of_a_websocket(
    organization: MemoryOrganization, start_peer: Any, aiohttp_server: Any, status: int, code: ErrorCode
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "3"})

    app = web.Application()
    app.router.add_get("/hub", answer)
    server = await aiohttp_server(app)
    peer = await start_peer(f"ws://127.0.0.1:{server.port}/hub", organization.edge(), wait=False)
    error = await peer.until(REFUSED if status == 403 else OFFLINE)
    assert error.code is code
    if status == 503:
        assert error.retry_after == 3


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def start_tls_hub(organization: MemoryOrganization) -> AsyncIterator[Any]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(certificate: trustme.LeafCert) -> str:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(context)
            hub = Hub(organization)
            app = web.Application()
            app.router.add_get(HUB_PATH, hub.handle)
            runner = web.AppRunner(app, shutdown_timeout=1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await stack.enter_async_context(hub)
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            return f"wss://localhost:{runner.addresses[0][1]}/hub"

        yield start


@pytest.fixture(params=["direct", "socks5"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_tls_hub(
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    organization: MemoryOrganization,
    start_tls_hub: Any,
    start_peer: Any,
    way: str,
) -> None:
    url = await start_tls_hub(authority.issue_cert("localhost"))
    async with SocksServer() as socks:
        proxy = None if way == "direct" else f"socks5://127.0.0.1:{socks.port}"
        peer = await start_peer(url, organization.edge(), ssl_context=trusting, proxy=proxy)
        assert peer.client.state is SignalingState.ONLINE
        await peer.client.__aexit__(None, None, None)


async def test_tls_hub_through_squid(
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    organization: MemoryOrganization,
    start_tls_hub: Any,
    start_peer: Any,
    squid: Any,
) -> None:
    url = await start_tls_hub(authority.issue_cert("localhost"))
    port = await squid(int(url.split(":")[2].split("/")[0]))
    proxy = f"http://anna:se%20cret@127.0.0.1:{port}"
    peer = await start_peer(url, organization.edge(), ssl_context=trusting, proxy=proxy)
    assert peer.client.state is SignalingState.ONLINE


def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))


def too_early(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("localhost", not_before=datetime.now(UTC) + timedelta(days=1))


def other_host(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("elsewhere.example")


def other_authority(authority: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("localhost")


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (expired, ["has expired", "clock"]),
        (too_early, ["not valid yet", "clock"]),
        (other_host, ["another host name"]),
        (other_authority, ["authority this machine does not know"]),
    ],
)
async def test_certificates_that_are_not_accepted(
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    organization: MemoryOrganization,
    start_tls_hub: Any,
    start_peer: Any,
    certificate: Any,
    words: list[str],
) -> None:
    url = await start_tls_hub(certificate(authority))
    peer = await start_peer(url, organization.edge(), ssl_context=trusting, wait=False)
    error = await peer.until(OFFLINE)
    assert error.code is ErrorCode.CLOUD_UNREACHABLE
    assert all(word in error.detail for word in words), error.detail
    await peer.client.__aexit__(None, None, None)


def test_bad_proxy_address_is_an_error_at_once(organization: MemoryOrganization) -> None:
    with pytest.raises(FarsiteError) as refused:
        SignalingClient(
            "ws://x",
            organization.edge(),
            agent="t",
            on_message=asyncio.sleep,
            proxy="ftp://u:secret@h",  # type: ignore[arg-type]
        )
    assert refused.value.code is ErrorCode.SETTING_INVALID
