"""TURN allocations (RFC 8656) over UDP, TCP and TLS, the latter two through the site's proxy when there is one.

Imports aioice: import this module inside functions only.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from aioice import stun, turn
from aioice.ice import StunProtocol

from farsite_signaling.peer.addresses import Address, open_udp
from farsite_signaling.peer.channeldata import FIRST_BYTES, HEADER, pieces, unwrap, wrap
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.proxy import Proxy, parse_proxy
from farsite_signaling.peer.servers import RelayTransport, TurnServer
from farsite_signaling.peer.tasks import TaskOwner
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# Below the five minutes a permission lives: a server that ties permissions to nothing else is kept up to date too.
CHANNEL_REFRESH = 240
CONNECT_TIMEOUT = 6.0
RELEASE_TIMEOUT = 0.5
ALLOCATION_MISMATCH = 437
"""The server still knows an earlier allocation from our port: another port is taken (RFC 8656 section 7.4)."""
PORT_ATTEMPTS = 3


def _hand_on(client: turn.TurnClientMixin, messages: Iterable[memoryview]) -> None:
    """Channel data to whoever has the allocation: DTLS records several at a time, the rest one by one."""
    receiver = cast("RelayProtocol | None", client.receiver)
    if receiver is None:
        return
    for channel, data, segment in unwrap(messages):
        peer = client.channel_to_peer.get(channel)
        if peer is None:
            continue
        if 19 < data[0] < 64 and receiver.records_received(memoryview(data), segment):
            continue
        for start in range(0, len(data), segment):
            receiver.datagram_received(data[start : start + segment], peer)


class _UdpClient(turn.TurnClientUdpProtocol):
    batched = FIRST_BYTES

    def records_received(self, data: memoryview, segment: int) -> bool:
        _hand_on(self, pieces(data, segment))
        return True


class _StreamClient(turn.TurnClientTcpProtocol):
    """Reassembles without copying what is left for every message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        done, data = 0, bytes(self._received)
        channel_data: list[memoryview] = []
        view = memoryview(data)
        for start, end in _messages(data):
            done = end
            if data[start] in FIRST_BYTES and data[start + 2 : start + 4] != b"\0\0":
                channel_data.append(view[start:end])
                continue
            _hand_on(self, channel_data)
            channel_data = []
            self.datagram_received(data[start:end], self.server)
        _hand_on(self, channel_data)
        del self._received[:done]


def _messages(data: bytes) -> Iterator[tuple[int, int]]:
    """Where whole messages begin and end (RFC 8656 section 12.5: padded to four bytes over streams)."""
    start = 0
    while len(data) - start >= HEADER:
        (length,) = struct.unpack_from("!H", data, start + 2)
        header = HEADER if data[start] & 0xC0 == 0x40 else 20
        end = start + header + (length + 3) // 4 * 4
        if end > len(data):
            return
        yield start, end
        start = end


class RelayedTransport:
    """An allocation in the shape of a datagram transport, as aioice's `StunProtocol` wants one."""

    def __init__(self, client: turn.TurnClientProtocol, server: TurnServer) -> None:
        self.server = server
        self._client = client
        self._tasks = TaskOwner(f"relay {server.url}")
        self._protocol: RelayProtocol | None = None
        self._relayed: Address | None = None
        self._closing = False

    async def allocate(self, protocol: RelayProtocol) -> None:
        """Raises `aioice.stun.TransactionError` or `ConnectionError`."""
        self._relayed = await self._client.connect()
        self._protocol = protocol
        self._client.receiver = protocol
        protocol.connection_made(cast(asyncio.BaseTransport, self))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in ("base", "socket", "pace"):
            return self._client.transport.get_extra_info("sockname" if name == "base" else name, default)
        known = {
            "sockname": self._relayed,
            "related_address": self._client.mapped_address,
            "server": self._client.server,
        }
        return known.get(name, default)

    def is_closing(self) -> bool:
        return self._closing or self._client.transport.is_closing()

    def sendto(self, data: bytes, addr: Address) -> None:
        if self.is_closing():
            return
        client = self._client
        channel = client.peer_to_channel.get(addr)
        if channel is None or time.time() > client.channel_refresh_at[channel]:
            self._tasks.spawn(self._bind_and_send(data, addr), "bind")
            return
        client._send(struct.pack("!HH", channel, len(data)) + data)

    def send_segments(self, data: memoryview, segment: int, addr: Address) -> None:
        """Datagrams of `segment` bytes each, the last one maybe shorter."""
        client, channel = self._client, self._client.peer_to_channel.get(addr)
        if channel is None or self.is_closing() or time.time() > client.channel_refresh_at[channel]:
            for start in range(0, len(data), segment):
                self.sendto(bytes(data[start : start + segment]), addr)
            return
        stream = self.server.transport is not RelayTransport.UDP
        wrapped, size = wrap(channel, data, segment, pad=stream)
        send = getattr(client.transport, "send_segments", None)
        if stream:
            cast(asyncio.WriteTransport, client.transport).write(wrapped)
        elif send is not None:
            send(memoryview(wrapped), size)
        else:
            for start in range(0, len(wrapped), size):
                cast(asyncio.DatagramTransport, client.transport).sendto(wrapped[start : start + size])

    async def _bind_and_send(self, data: bytes, addr: Address) -> None:
        try:
            await self._client.send_data(data, addr)
        except (stun.TransactionError, ConnectionError) as error:
            if self._protocol is not None:
                self._protocol.bind_failed(addr, error)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._tasks.cancel()
            self._tasks = TaskOwner(f"relay {self.server.url}")
            self._tasks.spawn(self._release(), "release")

    async def _release(self) -> None:
        """Give the allocation back; a server that does not answer frees it by itself later."""
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._client.delete()
        except (TimeoutError, stun.TransactionError, ConnectionError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """At once and without a word to the server: a TLS close would wait for an answer."""
        self._closing = True
        if self._client.refresh_task is not None:
            self._client.refresh_task.cancel()
        cast(Any, self._client.transport).abort()


class RelayProtocol(StunProtocol):
    """Base of the connection's own protocol: told when the server refuses a peer."""

    def bind_failed(self, addr: Address, error: Exception) -> None:
        raise NotImplementedError

    def records_received(self, data: memoryview, segment: int) -> bool:
        """DTLS records in one piece; False where they are wanted one by one."""
        raise NotImplementedError


async def allocate(server: TurnServer, protocol: RelayProtocol, options: PeerOptions) -> RelayedTransport:
    """Raises `FarsiteError`: `turn_unavailable` saying why, `proxy_authentication`, `proxy_unreachable`."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            for _ in range(PORT_ATTEMPTS - 1):
                try:
                    return await _allocate(server, protocol, options)
                except stun.TransactionFailed as error:
                    if error.response.error_code != ALLOCATION_MISMATCH:
                        raise
            return await _allocate(server, protocol, options)
    except TimeoutError:
        raise _unavailable(server, f"no answer within {CONNECT_TIMEOUT:.0f} s") from None
    except stun.TransactionError as error:
        raise _unavailable(server, _refusal(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise _unavailable(server, f"its certificate is not trusted: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        raise _unavailable(server, str(error) or type(error).__name__) from error


async def _allocate(server: TurnServer, protocol: RelayProtocol, options: PeerOptions) -> RelayedTransport:
    transport = await _connect(server, options)
    try:
        await transport.allocate(protocol)
    except BaseException:
        transport.abort()
        raise
    return transport


def _unavailable(server: TurnServer, why: str) -> FarsiteError:
    return FarsiteError(ErrorCode.TURN_UNAVAILABLE, f"{server.url}: {why}")


def _refusal(error: stun.TransactionError) -> str:
    if error.response is None:
        return "no answer"
    code = error.response.error_code
    reasons = {
        401: "it refuses the credentials: they are expired or not its own (401)",
        486: "its quota of allocations is used up (486)",
        508: "it has no capacity left (508)",
    }
    return reasons.get(code or 0, f"it refuses with code {code}")


async def _connect(server: TurnServer, options: PeerOptions) -> RelayedTransport:
    if server.transport is RelayTransport.UDP:
        return await _connect_udp(server, options)
    return await _connect_stream(server, options)


def _arguments(server: TurnServer, address: Address) -> dict[str, Any]:
    return {
        "server": address,
        "username": server.username,
        "password": server.credential,
        "lifetime": turn.DEFAULT_ALLOCATION_LIFETIME,
        "channel_refresh_time": CHANNEL_REFRESH,
    }


async def _connect_udp(server: TurnServer, options: PeerOptions) -> RelayedTransport:
    family, address = await resolve(server.host, server.port)
    arguments = _arguments(server, address)
    local = "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - connected to one server
    _, client = await open_udp(lambda: _UdpClient(**arguments), local, options.ports, address)
    return RelayedTransport(client, server)


async def resolve(host: str, port: int) -> tuple[int, Address]:
    """The first address, family first. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


async def _connect_stream(server: TurnServer, options: PeerOptions) -> RelayedTransport:
    loop = asyncio.get_running_loop()
    arguments = _arguments(server, (server.host, server.port))
    context = tls_context(server, options) if server.transport is RelayTransport.TLS else None
    name = server.host if context is not None else None
    where: dict[str, Any] = {"host": server.host, "port": server.port}
    if options.proxy is not None:
        where = {"sock": await connect_through(parse_proxy(options.proxy), server.host, server.port)}
    try:
        _, client = await loop.create_connection(
            lambda: _StreamClient(**arguments), ssl=context, server_hostname=name, **where
        )
    except BaseException:
        if "sock" in where:
            where["sock"].close()
        raise
    return RelayedTransport(client, server)


def tls_context(server: TurnServer, options: PeerOptions) -> ssl.SSLContext:
    """The system's authorities and those that came with the server or the settings."""
    try:
        return _context(tuple(_pem(ca) for ca in (server.ca, options.turn_ca) if ca is not None))
    except (OSError, ValueError) as error:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"The CA for TURN cannot be read: {error}") from error


def _pem(ca: str) -> str:
    return ca if "BEGIN CERTIFICATE" in ca else Path(ca).read_text()


@lru_cache(maxsize=4)
def _context(authorities: tuple[str, ...]) -> ssl.SSLContext:
    """Kept: reading the system's authorities takes longer than the handshake, and each server would do it again."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for pem in authorities:
        context.load_verify_locations(cadata=pem)
    return context


async def connect_through(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A connected socket. Raises `FarsiteError`: `proxy_authentication`, `proxy_unreachable`."""
    from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
    from python_socks.async_.asyncio import Proxy as SocksProxy

    url = proxy.url.replace("socks5h://", "socks5://")
    if proxy.scheme == "https":
        raise _proxy_unreachable(
            proxy, "TURN through a proxy that is itself reached by HTTPS is not supported"
        )
    try:
        sock = await SocksProxy.from_url(url, rdns=True if proxy.is_socks else None).connect(
            host, port, timeout=CONNECT_TIMEOUT
        )
        # asyncio does so for connections it makes itself: else small packets wait for acknowledgements, 40 ms each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    except ProxyError as error:
        if error.error_code == 407 or "authentication" in str(error).lower():
            raise FarsiteError(
                ErrorCode.PROXY_AUTHENTICATION,
                f"The proxy {proxy.address} refuses user name and password; correct them in the settings.",
            ) from error
        raise _proxy_unreachable(proxy, f"it does not let us reach {host}:{port} ({error})") from error
    except (ProxyConnectionError, ProxyTimeoutError, OSError) as error:
        raise _proxy_unreachable(proxy, "it cannot be reached; check address and port") from error


def _proxy_unreachable(proxy: Proxy, why: str) -> FarsiteError:
    return FarsiteError(ErrorCode.PROXY_UNREACHABLE, f"The proxy {proxy.address}: {why}.")
