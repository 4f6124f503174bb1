"""Many datagrams per system call, and one by one where the system has no offload."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from farsite_signaling.peer import datagrams
from farsite_signaling.peer.datagrams import UdpTransport


class Counter(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.heard = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.sizes.append(len(data))
        self.heard.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.sizes) < count:
                self.heard.clear()
                await self.heard.wait()


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.fixture(params=[True, False], ids=["offload", "portable"])
async def pair(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[UdpTransport, UdpTransport, Counter]]:
    monkeypatch.setattr(datagrams, "OFFLOAD", request.param)
    loop, counter = asyncio.get_running_loop(), Counter()
    ends = [UdpTransport(loop, bound(), protocol) for protocol in (asyncio.DatagramProtocol(), counter)]
    for end in ends:
        end.open()
    yield ends[0], ends[1], counter
    for end in ends:
        end.abort()
    await asyncio.sleep(0)


Pair = tuple[UdpTransport, UdpTransport, Counter]


async def test_segments_arrive_as_datagrams_of_their_own(pair: Pair) -> None:
    sender, receiver, counter = pair
    sender.send_segments(memoryview(bytes(2500)), 1000, receiver.get_extra_info("sockname"))
    await counter.until(3)
    assert counter.sizes == [1000, 1000, 500]


async def test_what_waits_is_read_without_waiting_for_the_next_tick(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many calls it takes: a tick must not become a limit of so many datagrams."""
    sender, receiver, counter = pair
    address = receiver.get_extra_info("sockname")
    monkeypatch.setattr(datagrams, "_MUCH", 0)
    monkeypatch.setattr(datagrams, "_TICK", 0.001)
    for count in (1, 2):  # from now on it looks in ticks
        sender.sendto(b"x", address)
        await counter.until(count)
        await asyncio.sleep(0.002)
    monkeypatch.setattr(datagrams, "_TICK", 60.0)
    for _ in range(200):
        sender.sendto(b"x", address)
    await counter.until(202)
