"""Every TURN server by every transport: an allocation is made, timed, and given back.

Imports aioice: import this module inside functions only.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import time
from typing import Any, cast

from farsite_signaling.peer import relay
from farsite_signaling.peer.netcheck.diagnosis import certificate_problem
from farsite_signaling.peer.netcheck.names import Names
from farsite_signaling.peer.netcheck.target import PROBE_SECONDS, Target
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.servers import RelayTransport, TurnServer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.netcheck import CheckRow, Result, failed, passed, warned

NONE_FIX = (
    "Without any relay only sites that reach one another directly can be managed. Open one of these ways in the "
    "firewall (see the allow list); on the cloud's machine see: farsite cloud doctor"
)


class _Nobody:
    """Receives for an allocation that nobody uses."""

    def protocol_lost(self, protocol: Any) -> None: ...
    def data_received(self, data: bytes, component: int) -> None: ...
    def request_received(self, message: Any, address: Any, protocol: Any) -> None: ...


class _Idle(relay.RelayProtocol):
    def __init__(self) -> None:
        super().__init__(cast(Any, _Nobody()))

    def bind_failed(self, addr: Any, error: Exception) -> None: ...


async def relay_rows(target: Target, servers: list[TurnServer], names: Names) -> list[CheckRow]:
    """One row a server and transport. While one of them works the others only warn."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_probe(target, server, names), name=server.url) for server in servers]
    rows = [task.result() for task in tasks]
    if any(row.result is Result.PASS for row in rows):
        rows = [_softened(row) for row in rows]
    elif rows:
        rows.append(failed("relay", "no TURN server can be used from here", NONE_FIX))
    return rows


def label(target: Target, server: TurnServer) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    through = " by proxy" if target.proxy and server.transport is not RelayTransport.UDP else ""
    return f"TURN {server.transport.upper()} {host}:{server.port}{through}"


def _softened(row: CheckRow) -> CheckRow:
    return row.model_copy(update={"result": Result.WARN}) if row.result is Result.FAIL else row


async def _probe(target: Target, server: TurnServer, names: Names) -> CheckRow:
    name = label(target, server)
    proxied = target.proxy is not None and server.transport is not RelayTransport.UDP
    addresses = [] if proxied else await names.addresses(server.host)
    if not addresses and not proxied:
        return failed(name, "its name cannot be resolved (DNS)", "See the DNS row.")
    if server.transport is not RelayTransport.TLS and addresses:
        # Looked up already: asking the system again could hang.
        server = dataclasses.replace(server, host=addresses[0])
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await _allocate(target, server, name)
    except TimeoutError:
        return failed(name, f"no answer within {PROBE_SECONDS:.0f} s", _firewall(server))
    except FarsiteError as error:
        return _diagnosed(name, server, error)


async def _allocate(target: Target, server: TurnServer, name: str) -> CheckRow:
    options = PeerOptions(proxy=target.proxy_address, turn_ca=target.turn_ca, ports=target.ports)
    started = time.monotonic()
    transport = await relay.allocate(server, _Idle(), options)
    took = (time.monotonic() - started) * 1000
    host, port = transport.get_extra_info("sockname")
    transport.close()
    return passed(name, f"allocated {host}:{port}", took)


def _diagnosed(name: str, server: TurnServer, error: FarsiteError) -> CheckRow:
    cause = error.__cause__
    detail = error.detail.removeprefix(f"{server.url}: ")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return failed(name, *certificate_problem(cause))
    if error.code is ErrorCode.PROXY_AUTHENTICATION:
        return failed(name, detail, "Correct user name and password in the proxy address.")
    if error.code is ErrorCode.PROXY_UNREACHABLE:
        return failed(name, detail, f"Let the proxy connect (CONNECT) to {server.host}:{server.port}.")
    if "(401)" in detail:
        return failed(
            name, detail, "The cloud's turn_secret must be the relay's, and both clocks right (NTP)."
        )
    if "(486)" in detail or "(508)" in detail:
        return warned(name, detail, "Raise the relay's quotas, or wait until sessions end.")
    return failed(name, detail, _firewall(server))


def _firewall(server: TurnServer) -> str:
    protocol = "UDP" if server.transport is RelayTransport.UDP else "TCP"
    return f"Let {protocol} out to {server.host} port {server.port}, and see that the relay runs."
