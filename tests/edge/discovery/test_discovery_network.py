"""Discovery on loopback: real multicast, real HTTP, simulated devices, and neighbours that mean harm."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from secrets import token_hex
from typing import Any, cast

import aiohttp
import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from farsite_edge.discovery import DiscoveryReport, FoundDevice, Method, discover, mdns, ssdp
from farsite_edge.discovery.http_probe import probe
from farsite_edge.discovery.ssdp import BASIC_SERVICE, fetch_description
from farsite_edge.simulator import MODELS, Simulator, describe
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LOOPBACK = ["127.0.0.1"]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port: int = probe_socket.getsockname()[1]
        return port


async def found_by(**options: Any) -> dict[str, FoundDevice]:
    return {found.serial: found async for found in discover(**options)}


async def found_until(wanted: set[str], **options: Any) -> dict[str, FoundDevice]:
    """Until every wanted device told its model or, being too old for that, announced it."""
    found: dict[str, FoundDevice] = {}
    async with aclosing(discover(**options)) as devices:
        async for device in devices:
            found[device.serial] = device
            if wanted <= {serial for serial, one in found.items() if Method.HTTP in one.by}:
                break
    return found


async def test_real_multicast_finds_every_device() -> None:
    port = free_port()
    async with Simulator(
        describe(10, factory_default=1, site=token_hex(4)), multicast=True, ssdp_port=port
    ) as simulator:
        assert simulator.problems == []
        serials = {device.serial for device in simulator.devices}
        report = DiscoveryReport()
        found = await found_until(serials, timeout=10, interfaces=LOOPBACK, ssdp_port=port, report=report)
        assert report.problems == []
        for device in simulator.devices:
            one = found[device.serial]
            assert (one.address, one.http_port) == ("127.0.0.1", device.http_port)
            assert one.setup_required == device.needs_setup
            if device.model.quirks.unrestricted_info and device.model.quirks.device_info:
                assert (one.model, one.version) == (device.model.number, device.version)


async def test_mdns_alone() -> None:
    async with Simulator(describe(2, ["P3265-V", "M3024-L"], site=token_hex(4)), multicast=True) as simulator:
        serials = {device.serial for device in simulator.devices}
        seen: dict[str, FoundDevice] = {}
        async with aclosing(mdns.browse(10, LOOPBACK)) as devices:
            async for device in devices:
                seen[device.serial] = device
                if serials <= seen.keys():
                    break
    assert all(seen[serial].by == (Method.MDNS,) for serial in serials)


async def test_ssdp_alone_misses_devices_with_upnp_off(session: aiohttp.ClientSession) -> None:
    port = free_port()
    async with Simulator(
        describe(2, ["P3265-V", "P3245-LVE"], site=token_hex(4)), multicast=True, ssdp_port=port
    ) as simulator:
        _, shown = simulator.devices
        async with aclosing(ssdp.search(session, 10, LOOPBACK, port=port)) as devices:
            async for device in devices:
                assert (device.serial, device.model) == (shown.serial, "P3245-LVE")
                break


async def test_a_probe_of_addresses_finds_every_model() -> None:
    async with Simulator(describe(len(MODELS)), bind="127.0.44.0/24", first_port=8044) as simulator:
        report = DiscoveryReport()
        found = await found_by(multicast=False, targets=["127.0.44.0/27"], ports=[8044, 8407], report=report)
        assert found.keys() == {device.serial for device in simulator.devices}
        for device in simulator.devices:
            one = found[device.serial]
            assert (one.address, one.http_port, one.https_port) == (device.address, 8044, device.https_port)
            assert one.by == (Method.HTTP,)
    assert report.probed == 60
    assert report.problems == []


async def test_one_device_on_two_addresses_is_one() -> None:
    async with Simulator(describe(1, ["P3265-V"]), bind="0.0.0.0") as simulator:
        port = simulator.devices[0].http_port
        found = await found_by(multicast=False, targets=["127.0.0.1", "127.0.0.2"], ports=[port])
    (one,) = found.values()
    assert set(one.addresses) == {"127.0.0.1", "127.0.0.2"}


async def test_ipv6_targets() -> None:
    async with Simulator(describe(1, ["P3265-V"]), bind="::1") as simulator:
        device = simulator.devices[0]
        found = await found_by(multicast=False, targets=[f"[::1]:{device.http_port}"])
    assert found[device.serial].address == "::1"


@pytest.mark.parametrize("model", MODELS)
async def test_a_factory_new_device_says_so(model: str, session: aiohttp.ClientSession) -> None:
    async with Simulator(describe(1, [model], factory_default=1)) as simulator:
        device = simulator.devices[0]
        found = await probe(session, device.address, device.http_port)
    assert found is not None
    assert (found.serial, found.setup_required) == (device.serial, True)


async def test_nothing_is_there() -> None:
    report = DiscoveryReport()
    assert await found_by(multicast=False, targets=["127.0.66.0/28"], ports=[9], report=report) == {}
    assert (report.probed, report.problems) == (14, [])


@asynccontextmanager
async def web_server(data: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x01",
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="Router"\r\nContent-Length: 0\r\n\r\n',
        b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000,
    ],
)
async def test_other_servers_are_no_devices(data: bytes) -> None:
    async with web_server(data) as port:
        report = DiscoveryReport()
        assert await found_by(multicast=False, targets=["127.0.0.1"], ports=[port], report=report) == {}
    assert report.problems == []


async def test_a_description_elsewhere_is_not_fetched(session: aiohttp.ClientSession) -> None:
    async with Simulator(describe(1, ["P3245-LVE"])) as simulator:
        device = simulator.devices[0]
        location = f"http://127.0.0.1:{device.http_port}/rootdesc1.xml"
        assert await fetch_description(session, "127.0.0.2", location) is None
        for odd in (
            "https://127.0.0.1/",
            "http://localhost/",
            "file:///etc/passwd",
            "http://[",
            "//",
            "\x00",
        ):
            assert await fetch_description(session, "127.0.0.1", odd) is None
        assert device.requests == 0
        assert await fetch_description(session, "127.0.0.1", location) is not None


class _Liar(asyncio.DatagramProtocol):
    """Answers a search with garbage, a description elsewhere, and one that is a bomb."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.asked = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert BASIC_SERVICE.encode() in data
        for location in (self.location, "http://192.0.2.1:80/x", "\x00\xff"):
            self.transport.sendto(f"HTTP/1.1 200 OK\r\nLOCATION: {location}\r\n\r\n".encode("latin-1"), addr)
        self.transport.sendto(b"\xff" * 2000, addr)
        self.asked.set()


async def test_neighbours_that_lie_do_not_stop_a_discovery(session: aiohttp.ClientSession) -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "ha">]><root><serialNumber>&a;</serialNumber></root>'
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    async with web_server(head + bomb) as port, Simulator(describe(1, ["P3265-V"])) as simulator:
        liar = _Liar(f"http://127.0.0.1:{port}/")
        listening = _group_socket()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: liar, sock=listening)
        zeroconf = AsyncZeroconf(interfaces=LOOPBACK)
        kind = "_axis-video._tcp.local."
        odd = AsyncServiceInfo(
            kind,
            f"nobody\u202e.{kind}",
            addresses=[b"\x7f\x00\x00\x01"],
            port=9,
            properties={"macaddress": "\xff"},
        )
        await zeroconf.async_register_service(odd, cooperating_responders=True)
        try:
            report = DiscoveryReport()
            found = await found_by(
                timeout=1.0,
                interfaces=LOOPBACK,
                ssdp_port=listening.getsockname()[1],
                targets=[f"127.0.0.1:{simulator.devices[0].http_port}"],
                report=report,
            )
        finally:
            await zeroconf.async_close()
            transport.close()
    assert liar.asked.is_set()
    assert simulator.devices[0].serial in found
    assert report.problems == []


def _group_socket() -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setblocking(False)
    listening.bind(("", 0))
    membership = socket.inet_aton("239.255.255.250") + socket.inet_aton("127.0.0.1")
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return listening


async def test_a_method_that_fails_is_reported_and_the_others_go_on() -> None:
    async with Simulator(describe(1, ["P3265-V"])) as simulator:
        device = simulator.devices[0]
        report = DiscoveryReport()
        found = await found_by(
            interfaces=["192.0.2.254"], timeout=0.2, targets=[f"127.0.0.1:{device.http_port}"], report=report
        )
    assert device.serial in found
    assert len(report.problems) == 3
    for method, problem in zip(("SSDP", "WS-Discovery", "mDNS"), sorted(report.problems), strict=True):
        assert (
            problem == f"{method} did not work (Cannot assign requested address); the other ways were used."
        )


@pytest.mark.parametrize("options", [{"targets": ["10.0.0.0/8"]}, {"ports": [0]}, {"targets": ["x"]}])
async def test_wrong_wishes_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(FarsiteError) as caught:
        await found_by(**options)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


async def test_leaving_early_stops_everything() -> None:
    async with Simulator(describe(3, ["P3265-V"])) as simulator:
        targets = [f"127.0.0.1:{device.http_port}" for device in simulator.devices]
        async with aclosing(
            discover(multicast=False, targets=[*targets, "127.0.0.0/22"], ports=[9])
        ) as devices:
            async for _ in devices:
                break
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("discovery")]
