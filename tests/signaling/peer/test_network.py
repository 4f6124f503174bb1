"""What a machine notices of itself: addresses that come and go, and sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from farsite_signaling.peer.linkkeeper import LinkKeeper
from farsite_signaling.peer.network import NetworkHint, NetworkMonitor
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.testing import MemoryLink, memory_links
from farsite_signaling.peer.tunnel import Tunnel, TunnelState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import ApiTarget, OpenRequest
from tests.signaling.skipping import SkippingLoop

TEN_MINUTES = 600.0


class Machine:
    """Its clocks and addresses."""

    def __init__(self) -> None:
        self.monotonic = 100.0
        self.wall = 1_700_000_000.0
        self.addresses: set[str] = {"192.0.2.1"}
        self.broken = False
        self.hints: list[NetworkHint] = []
        self.monitor = NetworkMonitor(
            self.hints.append,
            addresses=self.read,
            monotonic=lambda: self.monotonic,
            wall=lambda: self.wall,
        )
        self.monitor.start()

    def read(self) -> set[str]:
        if self.broken:
            raise OSError("no such device")
        return set(self.addresses)

    def second(self, *, monotonic: float = 1.0, wall: float = 1.0) -> None:
        self.monotonic += monotonic
        self.wall += wall
        self.monitor.look()


def test_nothing_happens_and_nothing_is_said() -> None:
    machine = Machine()
    for _ in range(60):
        machine.second(monotonic=1.2, wall=1.2)
    assert machine.hints == []


def test_addresses_that_come_and_go() -> None:
    machine = Machine()
    machine.addresses = {"192.0.2.2"}
    machine.second()
    assert machine.hints == [NetworkHint(frozenset({"192.0.2.1"}), frozenset({"192.0.2.2"}))]
    machine.second()
    assert len(machine.hints) == 1


@pytest.mark.parametrize("clocks", [{"monotonic": 600.0, "wall": 600.0}, {"wall": 600.0}])
def test_sleep_with_and_without_a_clock_that_stands_still(clocks: dict[str, float]) -> None:
    machine = Machine()
    machine.second(**clocks)
    assert [hint.slept for hint in machine.hints] == [599.0]
    assert "slept for 599 s" in str(machine.hints[0])


def test_a_system_that_does_not_answer_is_asked_again() -> None:
    machine = Machine()
    machine.broken = True
    machine.second()
    assert (machine.hints, machine.monitor.failures) == ([], 1)
    machine.broken, machine.addresses = False, {"192.0.2.9"}
    machine.second()
    assert machine.hints[0].gone == {"192.0.2.1"}


def test_a_handler_that_fails_does_not_end_the_looking() -> None:
    def fail(hint: NetworkHint) -> None:
        raise AssertionError("injected")

    machine = Machine()
    machine.monitor._on_hint = fail
    for wall in (100.0, 100.0):
        machine.second(wall=wall)
    assert machine.monitor.failures == 2


# Ten minutes away, in no time


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class EchoAcceptor:
    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> Callable[[], asyncio.BaseProtocol]:
        return Echo


class Tickets:
    renewable = False

    def due(self) -> float | None:
        return None


class Dialer:
    """Reaches the other side once it is `back`."""

    def __init__(self) -> None:
        self.tickets = Tickets()
        self.far: Tunnel
        self.back = False
        self.attempts: list[float] = []

    async def another(self, use: Callable[[MemoryLink], Awaitable[None]]) -> None:
        self.attempts.append(asyncio.get_running_loop().time())
        if not self.back:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, "No network.")
        near, far = memory_links()
        self.far.attach(far)
        await use(near)


def run_away(body: Callable[[Dialer, LinkKeeper, Tunnel, MemoryLink], Awaitable[None]]) -> None:
    async def run() -> None:
        dialer, links = Dialer(), memory_links()
        monitor = NetworkMonitor(lambda hint: None, addresses=lambda: ["192.0.2.1"])
        keeper = LinkKeeper(dialer, PeerOptions(), monitor)  # type: ignore[arg-type]
        near = Tunnel(links[0], session="s1", remote="e", initiator=True, resume_timeout=900, keeper=keeper)
        far = Tunnel(
            links[1], session="s1", remote="c", initiator=False, acceptor=EchoAcceptor(), resume_timeout=900
        )
        dialer.far = far
        async with far, near:
            await body(dialer, keeper, near, links[0])

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(run())


def test_ten_minutes_without_a_network_cost_no_byte_and_no_storm() -> None:
    async def body(dialer: Dialer, keeper: LinkKeeper, near: Tunnel, link: MemoryLink) -> None:
        reader, writer = await near.open_stream(ApiTarget())
        link.silence()
        data = bytes(range(256)) * 4096
        writer.write(data)
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(TEN_MINUTES)
        assert near.state is dialer.far.state is TunnelState.DETACHED
        assert "reconnecting" in near.status().reason
        first = dialer.attempts[0] - start
        assert first <= 6.1, "the first attempt comes as soon as silence is noticed"
        assert 150 < len(dialer.attempts) < 360, "at random, five seconds apart at most"
        dialer.back = True
        assert await reader.readexactly(len(data)) == data
        assert asyncio.get_running_loop().time() - start - TEN_MINUTES < 6
        writer.close()

    run_away(body)


def test_waking_up_ends_the_pause_between_attempts() -> None:
    async def body(dialer: Dialer, keeper: LinkKeeper, near: Tunnel, link: MemoryLink) -> None:
        reader, writer = await near.open_stream(ApiTarget())
        link.silence()
        await asyncio.sleep(TEN_MINUTES)
        dialer.back = True
        keeper.hint(NetworkHint(slept=TEN_MINUTES))
        woke = asyncio.get_running_loop().time()
        writer.write(b"awake")
        assert await reader.readexactly(5) == b"awake"
        assert asyncio.get_running_loop().time() - woke < 0.5
        writer.close()

    run_away(body)


def test_a_link_that_died_in_its_sleep_is_left_soon_after_waking() -> None:
    async def body(dialer: Dialer, keeper: LinkKeeper, near: Tunnel, link: MemoryLink) -> None:
        await asyncio.sleep(30)
        dialer.back = True
        link.silence()
        keeper.hint(NetworkHint(slept=TEN_MINUTES))
        woke = asyncio.get_running_loop().time()
        while near.status().moves == 0:
            await near.changed()
        assert asyncio.get_running_loop().time() - woke < 3

    run_away(body)


def test_more_than_the_resume_time_away_ends_the_tunnel() -> None:
    async def body(dialer: Dialer, keeper: LinkKeeper, near: Tunnel, link: MemoryLink) -> None:
        link.silence()
        errors = await asyncio.gather(near.wait_closed(), dialer.far.wait_closed())
        assert [error and error.code for error in errors] == [ErrorCode.PEER_TIMEOUT] * 2

    run_away(body)
