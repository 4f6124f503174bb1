"""Streams of a tunnel: each judged by itself, spliced to devices with flow control and half-close."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from farsite_edge.devices import rtsp
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.events import TunnelEvents
from farsite_edge.simulator import Simulator, describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.peer.testing import memory_links
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.hub import SessionEnded
from farsite_signaling.wire.rights import Role
from farsite_signaling.wire.stream import ApiTarget, DeviceTarget, OpenRequest
from tests.edge.conftest import FakeDevice, FakeSite, SmallCloud

ONE, TWO = "ACCC8E000001", "ACCC8E000002"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def edge(small_cloud: SmallCloud, tmp_path: Path) -> AsyncIterator[RunningEdge]:
    site = FakeSite(FakeDevice(ONE), FakeDevice(TWO))
    async with run_edge(tmp_path, gateway=site.gateway(), poll_interval=3600, device_timeout=1.0) as edge:
        await edge.claim(small_cloud.url, "GOOD-CODE")
        yield edge


@asynccontextmanager
async def device(edge: RunningEdge, serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The managed device `ONE`, its port served by `serve`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    registry = edge.host.registry
    https = port if tls else None
    await registry.found([FoundDevice(ONE, "127.0.0.1", None if tls else port, https)])
    await registry.manage(ONE)
    yield port
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def tunnels(edge: RunningEdge, grant: Grant) -> AsyncIterator[Tunnel]:
    """The client's end of a tunnel to the edge host."""
    ours, theirs = memory_links()
    acceptor = edge.host.remote._acceptor
    assert isinstance(acceptor, EdgeAcceptor)
    far = Tunnel(theirs, session=grant.sid, remote=grant.sub, initiator=False, acceptor=acceptor, grant=grant)
    near = Tunnel(ours, session=grant.sid, remote=grant.aud, initiator=True)
    async with far, near:
        yield near


async def rows(edge: RunningEdge) -> list[tuple[str, str, str]]:
    entries, _ = await edge.host.audit.page(None, 100)
    return [(entry.action, entry.target, entry.outcome) for entry in entries]


async def test_the_api_through_a_tunnel(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    grant = small_cloud.grant(small_cloud.client(), Role.VIEWER)
    async with tunnels(edge, grant) as tunnel:
        for request, expected in [
            (b"GET /api/v1/status", b'"state":"claimed"'),
            (b"GET /api/v1/audit", b'"right":"audit.read"'),
        ]:
            reader, writer = await tunnel.open_stream(ApiTarget())
            writer.write(request + b" HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
            assert expected in await reader.read()
            writer.close()


async def test_both_directions_and_half_close(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    """The device answers only after the client has closed its half."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(hashlib.sha256(data).digest() + data)
        await writer.drain()

    data = bytes(range(256)) * 8000
    async with device(edge, serve), tunnels(edge, small_cloud.grant(small_cloud.client())) as tunnel:
        reader, writer = await tunnel.open_stream(DeviceTarget(device=ONE))
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == hashlib.sha256(data).digest() + data
        writer.close()
    assert ("device.web", ONE, "allowed") in await rows(edge)


async def test_a_slow_client_slows_the_device(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    sent = 0
    stuck = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(1000):
            writer.write(bytes(64 * 1024))
            sent += 64 * 1024
            try:
                async with asyncio.timeout(1.0):
                    await writer.drain()
            except TimeoutError:
                stuck.set()
                await writer.drain()

    async with device(edge, serve), tunnels(edge, small_cloud.grant(small_cloud.client())) as tunnel:
        reader, writer = await tunnel.open_stream(DeviceTarget(device=ONE))
        await asyncio.wait_for(stuck.wait(), 20)
        assert sent < 30 * 1024 * 1024
        received = 0
        while block := await reader.read(1 << 20):
            received += len(block)
        assert received == 1000 * 64 * 1024
        writer.close()


async def test_what_a_stream_may_not_reach(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise AssertionError("reached")

    client = small_cloud.client()
    cases = [
        (small_cloud.grant(client, Role.VIEWER), ONE, ErrorCode.FORBIDDEN),
        (small_cloud.grant(client, devices=frozenset({TWO})), ONE, ErrorCode.DEVICE_UNKNOWN),
        (small_cloud.grant(client), TWO, ErrorCode.DEVICE_UNKNOWN),
        (small_cloud.grant(client), "ACCC8E0000FF", ErrorCode.DEVICE_UNKNOWN),
        (small_cloud.grant(client, until=1), ONE, ErrorCode.GRANT_EXPIRED),
    ]
    async with device(edge, never):
        for grant, target, code in cases:
            async with tunnels(edge, grant) as tunnel:
                with pytest.raises(FarsiteError) as caught:
                    await tunnel.open_stream(DeviceTarget(device=target))
                assert caught.value.code is code
            entries, _ = await edge.host.audit.page(None, 1)
            assert (entries[0].action, entries[0].outcome) == ("stream.open", "refused")
            assert (entries[0].actor, entries[0].details["code"]) == (client.urn, code)


@pytest.mark.parametrize("where", ["own API", "this machine"])
async def test_never_this_machine(where: str, edge: RunningEdge, small_cloud: SmallCloud) -> None:
    """A device record that was made to point at the edge host itself leads nowhere."""

    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise AssertionError("reached")

    async with device(edge, never):
        if where == "own API":
            await edge.host.registry.update(ONE, http_port=edge.host.https_port)
        else:
            edge.host._rule._allow_own = False
        async with tunnels(edge, small_cloud.grant(small_cloud.client())) as tunnel:
            with pytest.raises(FarsiteError) as caught:
                await tunnel.open_stream(DeviceTarget(device=ONE))
    assert caught.value.code is ErrorCode.FORBIDDEN


async def test_a_device_that_does_not_answer(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None: ...

    async with device(edge, never):
        pass
    async with tunnels(edge, small_cloud.grant(small_cloud.client())) as tunnel:
        with pytest.raises(FarsiteError) as caught:
            await tunnel.open_stream(DeviceTarget(device=ONE))
        assert caught.value.code is ErrorCode.DEVICE_UNREACHABLE
        with pytest.raises(FarsiteError, match="no https port"):
            await tunnel.open_stream(DeviceTarget(device=ONE, service="https"))


async def serve_rtsp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"RTSP/1.0 200 OK for " + await reader.readline())
    await writer.drain()
    writer.close()


async def speaks_rtsp(tunnel: Tunnel, device: str) -> bool:
    reader, writer = await tunnel.open_stream(DeviceTarget(device=device, service="rtsp"))
    writer.write(b"OPTIONS\r\n")
    answer = await reader.readline()
    writer.close()
    return answer == b"RTSP/1.0 200 OK for OPTIONS\r\n"


async def test_rtsp_at_its_port(small_cloud: SmallCloud, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gateway = FakeSite(FakeDevice(ONE)).gateway()
    async with run_edge(tmp_path, gateway=gateway, rtsp_port=port) as edge:
        await edge.claim(small_cloud.url, "GOOD-CODE")
        server = await asyncio.start_server(serve_rtsp, "127.0.0.1", port)
        await edge.host.registry.found([FoundDevice(ONE, "127.0.0.1", 9, None)])
        await edge.host.registry.manage(ONE)
        async with server, tunnels(edge, small_cloud.grant(small_cloud.client())) as tunnel:
            assert await speaks_rtsp(tunnel, ONE)
        viewer = small_cloud.grant(small_cloud.client(), Role.VIEWER)
        async with tunnels(edge, viewer) as tunnel:
            with pytest.raises(FarsiteError) as refused:
                await tunnel.open_stream(DeviceTarget(device=ONE, service="rtsp"))
    assert refused.value.code is ErrorCode.FORBIDDEN


async def test_rtsp_where_the_device_says(
    small_cloud: SmallCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port was changed on the device, and once more while somebody looks on."""
    monkeypatch.setattr(rtsp, "KEPT", 0)
    async with Simulator(describe(1, ["P3265-V"]), https=False) as simulator, run_edge(tmp_path) as edge:
        await edge.claim(small_cloud.url, "GOOD-CODE")
        [one] = simulator.devices
        await edge.host.registry.found([FoundDevice(one.serial, one.address, one.http_port)])
        await edge.host.manager.add([one.serial])
        await edge.host.manager.log_in([one.serial], Account(one.username, one.password))
        async with tunnels(edge, small_cloud.grant(small_cloud.client())) as tunnel:
            for _ in range(2):
                async with await asyncio.start_server(serve_rtsp, one.address, 0) as server:
                    port = server.sockets[0].getsockname()[1]
                    await edge.host.manager.change_parameters(one.serial, {"Network.RTSP.Port": str(port)})
                    assert await speaks_rtsp(tunnel, one.serial)
                    # Out of order for a while: where it was is as good a guess as any.
                    one.parameters["Network.RTSP.Port"] = "99999"
                    assert await speaks_rtsp(tunnel, one.serial)


async def test_https_by_its_pin(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authority.issue_cert("camera")
    leaf.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    https = DeviceTarget(device=ONE, service="https")
    grant = small_cloud.grant(small_cloud.client())
    async with device(edge, serve, context), tunnels(edge, grant) as tunnel:
        with pytest.raises(FarsiteError, match="not known yet"):
            await tunnel.open_stream(https)
        await edge.host.registry.update(ONE, pin=hashlib.sha256(der).hexdigest())
        reader, writer = await tunnel.open_stream(https)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        await edge.host.registry.update(ONE, pin="0" * 64)
        with pytest.raises(FarsiteError) as caught:
            await tunnel.open_stream(https)
    assert caught.value.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED
    assert edge.host.registry.get(ONE).state is DeviceState.CERTIFICATE_CHANGED


async def test_who_is_admitted(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    admission, client = edge.host.remote.admission, small_cloud.client()
    admission.admit(small_cloud.grant(client))
    with pytest.raises(FarsiteError) as caught:
        admission.admit(small_cloud.grant(client, rights=frozenset()))
    assert caught.value.code is ErrorCode.FORBIDDEN
    ended = small_cloud.grant(client)
    await edge.host.remote.inbox.receive(SessionEnded(session=ended.sid))
    with pytest.raises(FarsiteError) as caught:
        admission.admit(ended)
    assert caught.value.code is ErrorCode.SESSION_ENDED
    await edge.set_remote_access(False)
    with pytest.raises(FarsiteError) as caught:
        admission.admit(small_cloud.grant(client))
    assert caught.value.code is ErrorCode.REMOTE_ACCESS_OFF
    assert "remote-access on" in caught.value.detail


async def test_tunnels_are_audited_with_bytes_and_duration(
    edge: RunningEdge, small_cloud: SmallCloud
) -> None:
    events = TunnelEvents(edge.host.audit)
    grant = small_cloud.grant(small_cloud.client())
    ours, theirs = memory_links()
    far = Tunnel(theirs, session=grant.sid, remote=grant.sub, initiator=False, grant=grant)
    async with far, Tunnel(ours, session=grant.sid, remote=grant.aud, initiator=True):
        events.opened(far)
    events.closed(far, FarsiteError(ErrorCode.REMOTE_ACCESS_OFF, "Remote access was switched off."))
    events.refused(FarsiteError(ErrorCode.GRANT_INVALID, "No."), "urn:farsite:org1:edge:x", "s1")
    await events.drain()
    entries, _ = await edge.host.audit.page(None, 3)
    refused, closed, opened = entries
    assert (opened.action, opened.actor, opened.session) == ("tunnel.open", grant.sub, grant.sid)
    assert closed.details["code"] == "remote_access_off"
    assert {"bytes_sent", "bytes_received", "seconds"} <= closed.details.keys()
    assert 0 <= (datetime.now(UTC) - closed.at).total_seconds() < 60
    assert (refused.action, refused.outcome) == ("tunnel.open", "refused")


async def test_each_devices_page_is_audited_with_bytes(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"y" * len(await reader.readexactly(3)) * 5)
        await reader.read()

    grant = small_cloud.grant(small_cloud.client())
    remote = edge.host.remote
    ours, theirs = memory_links()
    far = Tunnel(
        theirs, session=grant.sid, remote=grant.sub, initiator=False, acceptor=remote._acceptor, grant=grant
    )
    near = Tunnel(ours, session=grant.sid, remote=grant.aud, initiator=True)
    async with device(edge, serve), far, near:
        reader, writer = await near.open_stream(DeviceTarget(device=ONE, service="http"))
        writer.write(b"abc")
        assert await reader.readexactly(15) == b"y" * 15
        remote._events.closed(far, None)
        await remote._events.drain()
    entries, _ = await edge.host.audit.page(None, 20)
    used = next(entry for entry in entries if entry.action == "device.web.closed")
    assert (used.target, used.session, used.actor) == (ONE, grant.sid, grant.sub)
    assert (used.details["streams"], used.details["bytes_sent"], used.details["bytes_received"]) == (1, 15, 3)
    assert next(entry.action for entry in entries if entry.session == grant.sid) == "tunnel.close"


async def test_remote_access_switched_off_through_its_own_tunnel(
    edge: RunningEdge, small_cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer arrives first, then the tunnel ends with the reason."""
    ours, theirs = memory_links()
    grant = small_cloud.grant(small_cloud.client())
    remote = edge.host.remote
    far = Tunnel(
        theirs, session=grant.sid, remote=grant.sub, initiator=False, acceptor=remote._acceptor, grant=grant
    )
    near = Tunnel(ours, session=grant.sid, remote=grant.aud, initiator=True)
    async with far, near:
        # The test's cloud has no hub, so the tunnel did not come in by the listener.
        await edge.wait_for("cloud_offline")
        monkeypatch.setattr(remote, "_tunnels", lambda: [far])
        reader, writer = await near.open_stream(ApiTarget())
        body = b'{"remote_access": false}'
        writer.write(
            b"PATCH /api/v1/settings HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        error = await asyncio.wait_for(near.wait_closed(), 10)
    assert error is not None
    assert error.code is ErrorCode.REMOTE_ACCESS_OFF
    assert not edge.host.preferences.remote_access


async def test_a_stream_given_up_leaves_no_connection_to_the_device(
    edge: RunningEdge, small_cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled in the middle of accepting: the device sees its connection end at once."""
    connected, ended, stuck = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        connected.set()
        try:
            await reader.read()
        finally:
            ended.set()

    async def never(*_: object, **__: object) -> None:
        stuck.set()
        await asyncio.Event().wait()

    acceptor = edge.host.remote._acceptor
    async with device(edge, serve):
        monkeypatch.setattr(acceptor.judge._audit, "note", never)
        granted = _Granted(small_cloud.grant(small_cloud.client()))
        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(
                acceptor.accept(granted, OpenRequest(target=DeviceTarget(device=ONE)))
            )
            for event in (stuck, connected):
                await asyncio.wait_for(event.wait(), 5)
            accepting.cancel()
        await asyncio.wait_for(ended.wait(), 5)


@dataclass
class _Granted:
    grant: Grant
