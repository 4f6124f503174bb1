"""Many datagrams per system call, and one by one where the system has no offload."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import warnings
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.peer import datagram_reader, datagrams, rhythm
from farsite_signaling.peer.datagram_reader import Datagram, reader
from farsite_signaling.peer.datagrams import UdpTransport, runs


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
    monkeypatch.setattr(rhythm, "_MUCH", 0)  # from the first one on it looks in ticks
    sender.sendto(b"x", address)
    await counter.until(1)
    receiver.pace(60.0)
    for _ in range(200):
        sender.sendto(b"x", address)
    await counter.until(201)


class Records(Counter):
    """Takes what comes in runs; keeps who sent the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.senders: list[object] = []
        self.runs: list[tuple[int, int]] = []

    def records_received(self, data: memoryview, segment: int) -> bool:
        self.runs.append((len(data), segment))
        for start in range(0, len(data), segment):
            super().datagram_received(data[start : start + segment].tobytes(), None)
        return True

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.senders.append(addr)
        super().datagram_received(data, addr)


@pytest.mark.skipif(not datagrams.OFFLOAD, reason="Linux reads many datagrams per call")
async def test_datagrams_that_were_sent_one_by_one_come_in_runs() -> None:
    records, sock = Records(), bound()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for size in (1000, 1000, 400, 1000, 1000):
            other.sendto(b"\x17" * size, sock.getsockname())
        transport = UdpTransport(asyncio.get_running_loop(), sock, records)
        transport.open()
        await records.until(5)
    transport.abort()
    assert records.sizes == [1000, 1000, 400, 1000, 1000]
    assert records.runs == [(2400, 1000), (2000, 1000)]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("many", [True, False])
async def test_each_datagram_has_its_sender(host: str, *, many: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as sock,
        socket.socket(family, socket.SOCK_DGRAM) as one,
        socket.socket(family, socket.SOCK_DGRAM) as two,
    ):
        for each in (sock, one, two):
            each.bind((host, 0))
        sock.setblocking(False)
        reading = reader(sock, many=many)
        one.sendto(b"from one", sock.getsockname())
        two.sendto(b"", sock.getsockname())
        one.sendto(b"again", sock.getsockname())
        found: list[tuple[bytes, object]] = []
        while len(found) < 3:
            found += [(bytes(data), reading.address(whose)) for data, _, whose in reading.read()]
        assert found == [
            (b"from one", one.getsockname()),
            (b"", two.getsockname()),
            (b"again", one.getsockname()),
        ]
        with pytest.raises(BlockingIOError):
            reading.read()


def test_what_the_network_reports_is_raised() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.setblocking(False)
        sock.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            reader(sock, many=True).read()


async def test_where_the_call_is_forbidden_it_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError

    datagram_reader._has_recvmmsg.cache_clear()
    monkeypatch.setattr(datagram_reader._Many, "read", forbidden)
    try:
        with bound() as sock:
            assert reader(sock, many=True).most == 1
    finally:
        datagram_reader._has_recvmmsg.cache_clear()


def test_threads_do_not_share_what_they_read_into() -> None:
    """Sessions of one process may have an event loop each."""
    read: dict[bytes, bytes] = {}
    both = threading.Barrier(2)

    def work(text: bytes) -> None:
        with bound() as sock:
            sock.sendto(text, sock.getsockname())
            ((data, _, _),) = reader(sock, many=True).read()
            both.wait(20)
            read[text] = bytes(data)

    threads = [threading.Thread(target=work, args=(text,)) for text in (b"here", b"there")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert read == {b"here": b"here", b"there": b"there"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked")
def test_a_forked_process_does_not_write_over_what_was_read() -> None:
    with bound() as sock:
        reading = reader(sock, many=True)
        sock.sendto(b"ours", sock.getsockname())
        ((data, _, _),) = reading.read()
        sock.sendto(b"theirs", sock.getsockname())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which this child does not need
            child = os.fork()
        if not child:
            os._exit(len(reading.read()[0][0]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(b"theirs")
        assert bytes(data) == b"ours"


pieces = st.lists(
    st.tuples(st.sampled_from([0, 1, 20, 63]), st.integers(1, 4), st.integers(1, 9), st.integers(0, 9))
)


@given(pieces)
def test_runs_keep_every_datagram_and_its_order(shapes: list[tuple[int, int, int, int]]) -> None:
    """`first`: the first byte; `count` datagrams of `size` bytes and one of `tail`, as the system may put together."""
    given_, datagrams_ = [], []
    for first, count, size, tail in shapes:
        parts = [bytes([first]) * size] * count + [bytes([first]) * min(tail, size)] * bool(tail)
        datagrams_.append((memoryview(b"".join(parts)), size, None))
        given_ += parts
    found: list[bytes] = []
    for run in runs(datagrams_, range(20, 64)):
        found += _split(run)
        if len(run) > 1:
            assert run[0][0][0] in range(20, 64)
    assert found == given_


def _split(run: list[Datagram]) -> list[bytes]:
    """As whoever gets a run takes it apart."""
    data, segment = b"".join(data for data, _, _ in run), run[0][1]
    return [data[start : start + segment] for start in range(0, len(data), segment)]
