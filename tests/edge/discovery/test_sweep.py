"""Probing at a bounded rate."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_edge.discovery.pace import Pace
from farsite_edge.discovery.sweep import Place, Sweep


@given(st.integers(10, 5000), st.lists(st.floats(0, 0.3), min_size=1, max_size=200))
def test_never_more_than_the_rate_in_any_second(rate: int, waits: list[float]) -> None:
    pace, now = Pace(rate, 0.0), 0.0
    sent: list[tuple[float, int]] = []
    for wait in waits:
        now += wait
        sent.append((now, pace.take(10**6, now)))
    for at, _ in sent:
        assert sum(number for when, number in sent if at <= when < at + 1) <= rate


def test_the_rate_is_used() -> None:
    pace = Pace(2000, 0.0)
    assert sum(pace.take(100, step / 100) for step in range(1000)) > 19_000


@pytest.fixture
def listening() -> Iterator[list[socket.socket]]:
    """Open, and one whose queue is full: it says nothing at all."""
    opened = [socket.socket() for _ in range(2)]
    for one in opened:
        one.bind(("127.0.0.1", 0))
    opened[0].listen(16)
    opened[1].listen(0)
    filling = [socket.socket() for _ in range(4)]
    for one in filling:
        one.setblocking(False)
        one.connect_ex(opened[1].getsockname())
    yield opened
    for one in (*opened, *filling):
        one.close()


async def swept(places: list[Place], **options: Any) -> tuple[list[tuple[int, Place]], list[int], Sweep]:
    opened: list[tuple[int, Place]] = []
    closed: list[int] = []
    loop = asyncio.get_running_loop()
    sweep = Sweep(
        places,
        Pace(options.pop("rate", 2000), loop.time()),
        opened=lambda number, place: opened.append((number, place)),
        closed=closed.append,
        patience=0.2,
        **options,
    )
    async with asyncio.timeout(10):
        await sweep.run()
    return opened, closed, sweep


async def test_open_refused_and_silent_ports(listening: list[socket.socket]) -> None:
    open_, silent = (one.getsockname()[1] for one in listening)
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        refused = unused.getsockname()[1]
    places = [("127.0.0.1", silent), ("127.0.0.1", open_), ("127.0.0.1", refused)]
    opened, closed, sweep = await swept(places, first=7)
    assert opened == [(8, ("127.0.0.1", open_))]
    # The host is there: its silent port is asked once more.
    assert sorted(closed) == [-1, 7, 9]
    assert sweep.knocks == 4


async def test_a_kernel_without_room_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    full = [errno.ENOBUFS, errno.EAGAIN]
    real = socket.socket.connect_ex

    def connect_ex(self: socket.socket, address: Any) -> int:
        return full.pop() if full else real(self, address)

    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)
    opened, closed, sweep = await swept([("127.0.0.1", 9), ("127.0.0.2", 9)])
    assert (opened, sorted(closed), sweep.knocks) == ([], [0, 1], 2)


async def test_without_a_way_to_be_woken_sockets_are_looked_at(
    listening: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""

    def missing(*_: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_writer", missing)
    port = listening[0].getsockname()[1]
    opened, closed, _ = await swept([("127.0.0.1", port), ("127.0.0.2", 9)])
    assert (opened, closed) == ([(0, ("127.0.0.1", port))], [1])


async def test_few_at_the_same_time() -> None:
    opened, closed, _ = await swept([(f"127.0.7.{number}", 9) for number in range(1, 50)], parallel=3)
    assert (opened, len(closed)) == ([], 49)
