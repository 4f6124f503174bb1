"""The way to the hub, layer by layer: proxy, TCP, TLS, WebSocket, and the clock by its challenge."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator

from farsite_signaling.peer.hubconnection import HubAddress, HubConnection
from farsite_signaling.peer.netcheck.diagnosis import Shown, certificate_problem, days_left, shown_by
from farsite_signaling.peer.netcheck.names import Names
from farsite_signaling.peer.netcheck.target import PROBE_SECONDS, Target, host_and_port
from farsite_signaling.peer.proxy import Proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS
from farsite_signaling.wire.netcheck import CheckRow, failed, passed, warned

CLOSE = 14.0
"""Days before its end from which a certificate is worth a warning."""
_CLOCK_FIX = "Set this machine's clock (NTP): sessions fail beyond 300 s."
_PROXY_FIX = "Check the proxy address and that the proxy runs."
Rows = AsyncIterator[CheckRow]


async def hub_rows(target: Target, names: Names) -> Rows:
    """Ends at the first layer that fails: what is above it cannot work."""
    host, port = host_and_port(target.hub)
    if target.proxy is not None:
        row = await _proxy_row(target.proxy, names)
        yield row
        if row.result == "FAIL":
            return
    elif not await names.addresses(host):
        yield failed("hub TCP", f"{host} cannot be resolved (DNS)", "See the DNS row.")
        return
    started = time.monotonic()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            sock = await _connect(target, host, port, names)
    except (OSError, FarsiteError) as error:
        yield _no_connection(target, error, f"{host}:{port}")
        return
    yield passed("hub TCP", f"{host}:{port}", _since(started))
    async for row in _above(target, sock, host, port, names):
        yield row


async def _above(target: Target, sock: socket.socket, host: str, port: int, names: Names) -> Rows:
    if target.secure:
        row, shown = await _tls(target, sock, host, port, names)
        yield row
        if row.result == "FAIL":
            if shown is not None and shown.clock_offset is not None:
                yield clock_row(shown.clock_offset, "an HTTP answer")
            return
    else:
        sock.close()
        yield warned(
            "hub TLS", "the cloud is reached without TLS", "Give the cloud a certificate (tls_certificate)."
        )
    async for row in _websocket(target):
        yield row


async def _proxy_row(proxy: Proxy, names: Names) -> CheckRow:
    if not await names.addresses(proxy.host):
        return failed("proxy", f"{proxy.host} cannot be resolved (DNS)", _PROXY_FIX)
    started = time.monotonic()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            sock = await _direct(proxy.host, proxy.port, names)
    except OSError as error:
        return failed("proxy", f"{proxy.redacted} cannot be reached: {_reason(error)}", _PROXY_FIX)
    sock.close()
    return passed("proxy", f"{proxy.redacted} answers", _since(started))


async def _connect(target: Target, host: str, port: int, names: Names) -> socket.socket:
    if target.proxy is None:
        return await _direct(host, port, names)
    from farsite_signaling.peer.relay import connect_through

    return await connect_through(target.proxy, host, port)


async def _direct(host: str, port: int, names: Names) -> socket.socket:
    """Each address in turn, the time shared between them. Raises the last one's `OSError`."""
    addresses = await names.addresses(host)
    last: OSError = OSError("there is no address")
    for address in addresses:
        try:
            async with asyncio.timeout(PROBE_SECONDS / len(addresses)):
                return await _open(address, port)
        except OSError as error:
            last = error
    raise last


async def _open(address: str, port: int) -> socket.socket:
    version = ipaddress.ip_address(address.partition("%")[0]).version
    sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _no_connection(target: Target, error: Exception, place: str) -> CheckRow:
    if isinstance(error, FarsiteError):
        if error.code is ErrorCode.PROXY_AUTHENTICATION:
            return failed("proxy login", error.detail, "Correct user name and password in the proxy address.")
        return failed("hub TCP", error.detail, f"Let the proxy connect (CONNECT) to {place}.")
    through = f" through the proxy {target.proxy.address}" if target.proxy is not None else ""
    fix = f"Let TCP out to {place} (or set the site's proxy), and see that the cloud runs."
    return failed("hub TCP", f"{place} cannot be reached{through}: {_reason(error)}", fix)


async def _tls(
    target: Target, sock: socket.socket, host: str, port: int, names: Names
) -> tuple[CheckRow, Shown | None]:
    context = target.tls or ssl.create_default_context()
    started = time.monotonic()
    try:
        version, binary = await _handshake(context, sock, host)
    except ssl.SSLCertVerificationError as error:
        shown = await _look(target, host, port, names)
        return failed("hub TLS", *certificate_problem(error, shown)), shown
    except (OSError, ValueError) as error:
        text = f"no TLS with {host}:{port}: {_reason(error)}"
        return failed("hub TLS", text, "Is it the cloud's HTTPS port?"), None
    return _accepted(version, days_left(binary), _since(started)), None


async def _handshake(context: ssl.SSLContext, sock: socket.socket, host: str) -> tuple[str, bytes]:
    """TLS version and the certificate in DER; the socket is closed in any case."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    tls = writer.get_extra_info("ssl_object")
    found = tls.version(), tls.getpeercert(True) or b""
    writer.transport.abort()
    return found


def _accepted(version: str, left: float | None, took: float) -> CheckRow:
    if left is not None and left < CLOSE:
        return warned(
            "hub TLS", f"{version}; the certificate ends in {left:.0f} days", "Renew it on the cloud.", took
        )
    ends = "" if left is None else f", certificate good for {left:.0f} days"
    return passed("hub TLS", f"{version}{ends}", took)


async def _look(target: Target, host: str, port: int, names: Names) -> Shown | None:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await shown_by(await _connect(target, host, port, names), host, port)
    except (OSError, FarsiteError):
        return None


async def _websocket(target: Target) -> Rows:
    started = time.monotonic()
    address = HubAddress(target.hub, target.proxy, (target.tls or ssl.create_default_context()))
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            offset = await _challenged(address)
    except TimeoutError:
        yield failed(
            "hub WebSocket", f"no answer within {PROBE_SECONDS:.0f} s", "Let WebSocket pass on the way."
        )
        return
    except FarsiteError as error:
        fix = "Proxies and load balancers on the way must let WebSocket upgrades pass."
        yield failed("hub WebSocket", error.detail, fix)
        return
    yield passed("hub WebSocket", "the hub answers", _since(started))
    if offset is not None:
        yield clock_row(offset, "the hub")


async def _challenged(address: HubAddress) -> float | None:
    connection = await HubConnection.open(address, PROBE_SECONDS)
    try:
        return await connection.ask_time("farsite-netcheck", PROBE_SECONDS)
    finally:
        connection.abort()


def clock_row(offset: float, by: str) -> CheckRow:
    """`offset`: the cloud's clock minus ours, seconds."""
    side = "behind" if offset > 0 else "ahead of"
    text = f"{abs(offset):.1f} s {side} the cloud's, by {by}"
    if abs(offset) > LEEWAY_SECONDS:
        return failed("clock", text, _CLOCK_FIX)
    if abs(offset) > LEEWAY_SECONDS / 10:
        return warned("clock", text, _CLOCK_FIX)
    return passed("clock", text)


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000


def _reason(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case ConnectionRefusedError():
            return "the connection was refused"
        case ssl.SSLError():
            return str(error.reason or "TLS failed")
        case OSError():
            return error.strerror or str(error)[:200] or "the connection failed"
        case _:
            return str(error)[:200]
