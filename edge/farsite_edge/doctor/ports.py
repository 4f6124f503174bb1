"""Ports B, C and E on this machine: ours, free, or somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Callable

from farsite_edge.lan.multicast import interface_addresses
from farsite_edge.settings import EdgeSettings
from farsite_signaling.peer.addresses import open_udp
from farsite_signaling.peer.options import FIRST_PORT, LAST_PORT
from farsite_signaling.wire.edge_api import EdgeInfo
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.lan import make_query, parse_answer
from farsite_signaling.wire.netcheck import AllowLine, CheckRow, failed, passed, warned

SECONDS = 2.0
SSDP = ("239.255.255.250", 1900)
MDNS = ("224.0.0.251", 5353)
_QUERY_TOKEN = "doctor"


async def port_rows(settings: EdgeSettings, running: EdgeInfo | None) -> list[CheckRow]:
    """`running`: the edge host of this folder, if it runs."""
    https = running.https_port if running is not None else settings.https_port
    rows = [
        await _tcp_row("port B HTTPS API", settings, https, "https_port", running, tls=True),
        await _tcp_row("port B discovery", settings, settings.http_port, "http_port", running, tls=False),
    ]
    if settings.multicast:
        rows.append(await _query_row(settings, running))
    return [*rows, multicast_row("port C multicast", (SSDP[0], MDNS[0])), await _peer_row()]


async def _tcp_row(
    name: str, settings: EdgeSettings, port: int, setting: str, running: EdgeInfo | None, *, tls: bool
) -> CheckRow:
    if port == 0:
        return passed(name, "any free port is taken at every start")
    local = settings.bind[0] if settings.bind else "127.0.0.1"
    if running is None:
        return _free_row(name, lambda: _bind_tcp(settings.bind, port), f"TCP {port}", setting)
    try:
        async with asyncio.timeout(SECONDS):
            head = await _get_info(local, port, tls=tls)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        text = f"the edge host runs, but TCP {port} does not answer ({error.__class__.__name__})"
        return failed(
            name, text, f"Restart the edge host; check FARSITE_EDGE_{setting.upper()} and FARSITE_EDGE_BIND."
        )
    if running.id not in head:
        return failed(name, f"another program answers on TCP {port}", _stop(setting))
    return passed(name, f"TCP {port} is served by this edge host")


async def _get_info(address: str, port: int, *, tls: bool) -> str:
    context = None
    if tls:
        # Our own API on this very machine, known by its id: nothing is sent that a stranger could use.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address, port, ssl=context)
    try:
        path = "/api/v1/info" if tls else "/info"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return (head + await reader.read(16 * 1024)).decode("utf-8", "replace")
    finally:
        writer.transport.abort()


def _bind_tcp(addresses: list[str], port: int) -> None:
    for address in addresses or ["0.0.0.0"]:  # noqa: S104 - as the edge host itself would
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen(1)


def _free_row(name: str, bind: Callable[[], None], what: str, setting: str) -> CheckRow:
    try:
        bind()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return failed(name, f"{what} is in use by another program", _stop(setting))
        return failed(name, f"{what} cannot be opened: {error.strerror}", _stop(setting))
    return passed(name, f"{what} is free")


def _stop(setting: str) -> str:
    return f"Stop that program, or choose another port with FARSITE_EDGE_{setting.upper()}."


async def _query_row(settings: EdgeSettings, running: EdgeInfo | None) -> CheckRow:
    name, port = "port B multicast", settings.multicast_port
    if running is None or port == 0:
        return multicast_row(name, (settings.multicast_group,))
    try:
        answered = await _query(settings.multicast_group, port)
    except OSError as error:
        return warned(
            name, f"no query can be sent: {error.strerror}", "Check this machine's network interfaces."
        )
    if running.id in answered:
        return passed(name, f"UDP {port}: this edge host answers on {settings.multicast_group}")
    text = f"UDP {port}: the edge host does not answer on {settings.multicast_group}"
    return warned(
        name, text, "Clients find it by address only. Let multicast pass (host firewall, switch, container)."
    )


async def _query(group: str, port: int) -> set[str]:
    """Ids of edge hosts that answered, asked by multicast from every own address."""
    found: set[str] = set()

    class Answers(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            with contextlib.suppress(FarsiteError):
                found.add(parse_answer(data).info.id)

    async with contextlib.AsyncExitStack() as stack:
        for address in interface_addresses():
            with contextlib.suppress(OSError):
                transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    Answers, local_addr=(address, 0), family=socket.AF_INET
                )
                stack.callback(transport.close)
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
                transport.sendto(make_query(_QUERY_TOKEN), (group, port))
        await asyncio.sleep(0.5)  # answers come from anywhere: there is no last one to wait for
    return found


def multicast_row(name: str, groups: tuple[str, ...]) -> CheckRow:
    """Whether this machine can listen to these groups on any interface."""
    joined = sorted(
        {address for group in groups for address in interface_addresses() if _joins(group, address)}
    )
    outside = [address for address in joined if not address.startswith("127.")]
    if outside:
        return passed(name, f"{', '.join(groups)} can be heard on {', '.join(outside[:6])}")
    text = f"{', '.join(groups)}: no interface but loopback can listen"
    return warned(name, text, "Devices are found by address ranges only. Use host networking in containers.")


def _joins(group: str, address: str) -> bool:
    request = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(address))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        except OSError:
            return False
    return True


async def _peer_row() -> CheckRow:
    name = "port E peer to peer"
    try:
        transport, _ = await open_udp(asyncio.DatagramProtocol, "0.0.0.0", (FIRST_PORT, LAST_PORT))  # noqa: S104
    except (OSError, FarsiteError) as error:
        return failed(
            name, f"no UDP port between {FIRST_PORT} and {LAST_PORT} can be opened: {error}", "Free some."
        )
    transport.close()
    return passed(name, f"UDP ports between {FIRST_PORT} and {LAST_PORT} can be opened")


def allow_list(settings: EdgeSettings) -> list[AllowLine]:
    """What the LAN's clients and devices need."""
    inward = [
        ("tcp", settings.https_port, "clients on the LAN: API"),
        ("tcp", settings.http_port, "clients on the LAN: discovery"),
        *([("udp", settings.multicast_port, "clients on the LAN: multicast")] if settings.multicast else []),
    ]
    outward = [
        ("tcp", port, "devices: HTTP(S), and RTSP(S)")
        for port in dict.fromkeys((*settings.discovery_ports, 554, 322))
    ]
    outward += [("udp", port, "finding devices") for port in (1900, 5353, 3702)]
    made = [("in", "this machine", *line) for line in inward] + [
        ("out", "devices", *line) for line in outward
    ]
    names = ("direction", "host", "protocol", "port", "why")
    rows = [dict(zip(names, map(str, values), strict=True)) for values in made]
    return [AllowLine.model_validate(row) for row in rows if row["port"] != "0"]
