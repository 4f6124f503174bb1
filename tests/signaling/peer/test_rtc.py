"""`RtcLink` against itself and against a stock aiortc peer that does what peers must not do."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from struct import pack
from typing import Any

import pytest

from farsite_signaling.peer.association.sending import Sender
from farsite_signaling.peer.link import HIGH_WATER, MAX_MESSAGE
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.rtc import RtcLink, without_names
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.path import Path

LOCAL = PeerOptions(addresses=("127.0.0.1",), close_timeout=2.0)
OPEN, ACK, STRING, BINARY = 3, 2, 51, 53
DCEP = 50


class Receiver:
    """Everything a link said, in order."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.lost: list[FarsiteError | None] = []
        self.gone = asyncio.Event()

    def channel_opened(self, channel: int, label: str) -> None:
        self.events.put_nowait(("opened", channel, label))

    def message_received(self, channel: int, message: bytes) -> None:
        self.events.put_nowait(("message", channel, message))

    def channel_closed(self, channel: int) -> None:
        self.events.put_nowait(("closed", channel))

    def writable(self) -> None:
        self.events.put_nowait(("writable",))

    def link_lost(self, error: FarsiteError | None) -> None:
        self.lost.append(error)
        self.gone.set()

    async def next(self) -> tuple[Any, ...]:
        async with asyncio.timeout(10):
            return await self.events.get()

    async def end(self) -> FarsiteError | None:
        async with asyncio.timeout(10):
            await self.gone.wait()
        return self.lost[0]


class Pair:
    def __init__(self, options: PeerOptions) -> None:
        self.a, self.b = RtcLink([], options), RtcLink([], options)
        self.at_a, self.at_b = Receiver(), Receiver()

    async def connect(self, *, start: bool = True) -> None:
        offer, _ = await self.a.offer()
        answer, _ = await self.b.answer(offer)
        await self.a.accept(answer)
        await self.a.connected()
        await self.b.connected()
        if start:
            self.a.start(self.at_a)
            self.b.start(self.at_b)

    async def close(self) -> None:
        await self.a.close()
        await self.b.close()


@pytest.fixture
async def make_pair() -> AsyncIterator[Callable[..., Awaitable[Pair]]]:
    pairs: list[Pair] = []

    async def make(options: PeerOptions = LOCAL, **changes: Any) -> Pair:
        pair = Pair(options)
        pairs.append(pair)
        await pair.connect(**changes)
        return pair

    yield make
    for pair in pairs:
        await pair.close()


MakePair = Callable[..., Awaitable[Pair]]


async def test_messages_arrive_in_order_on_their_channels(make_pair: MakePair) -> None:
    pair = await make_pair()
    first, second = pair.a.open_channel("control"), pair.b.open_channel("stream")
    assert first % 2 != second % 2
    pair.a.send(first, b"one")
    pair.a.send(first, b"2" * MAX_MESSAGE)
    pair.b.send(second, b"three")
    assert [await pair.at_b.next() for _ in range(3)] == [
        ("opened", first, "control"),
        ("message", first, b"one"),
        ("message", first, b"2" * MAX_MESSAGE),
    ]
    assert [await pair.at_a.next() for _ in range(2)] == [
        ("opened", second, "stream"),
        ("message", second, b"three"),
    ]
    assert (pair.a.path, pair.b.path) == (Path.LAN, Path.LAN)
    assert "one network" in pair.a.reason


async def test_what_came_before_start_is_delivered_first(make_pair: MakePair) -> None:
    pair = await make_pair(start=False)
    pair.a.start(pair.at_a)
    channel = pair.a.open_channel("early")
    pair.a.send(channel, b"bird")
    echo = pair.b.open_channel("marker")
    assert await pair.at_a.next() == ("opened", echo, "marker")
    pair.b.start(pair.at_b)
    assert await pair.at_b.next() == ("opened", channel, "early")
    assert await pair.at_b.next() == ("message", channel, b"bird")


async def test_closing_a_channel_reaches_the_other_side(make_pair: MakePair) -> None:
    pair = await make_pair()
    channel = pair.a.open_channel("short")
    pair.a.send(channel, b"last words")
    pair.a.close_channel(channel)
    pair.a.send(channel, b"ignored")
    assert await pair.at_b.next() == ("opened", channel, "short")
    assert await pair.at_b.next() == ("message", channel, b"last words")
    assert await pair.at_b.next() == ("closed", channel)
    assert pair.a.open_channel("next") != channel


async def test_the_queue_is_told_to_be_writable_again(make_pair: MakePair) -> None:
    pair = await make_pair()
    channel = pair.a.open_channel("bulk")
    messages = 4 * HIGH_WATER // MAX_MESSAGE
    for _ in range(messages):
        pair.a.send(channel, bytes(MAX_MESSAGE))
    assert pair.a.buffered_amount == messages * MAX_MESSAGE
    assert await pair.at_a.next() == ("writable",)
    assert pair.a.buffered_amount < HIGH_WATER
    received = [await pair.at_b.next() for _ in range(messages + 1)]
    assert sum(event[0] == "message" for event in received) == messages
    assert pair.a.buffered_amount == 0
    assert pair.at_a.events.empty()


async def test_closing_tells_each_side_once(make_pair: MakePair) -> None:
    pair = await make_pair()
    await asyncio.gather(pair.a.close(), pair.a.close())
    await pair.a.close()
    assert pair.at_a.lost == [None]
    error = await pair.at_b.end()
    assert error is not None
    assert error.code is ErrorCode.PEER_UNREACHABLE
    await pair.b.close()
    assert len(pair.at_b.lost) == 1
    pair.a.send(0, b"too late")
    with pytest.raises(FarsiteError):
        pair.a.open_channel("too late")


async def test_a_close_that_hangs_is_abandoned(make_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = await make_pair(replace(LOCAL, close_timeout=0.1))

    async def hang() -> None:
        await asyncio.Event().wait()

    real = pair.a._pc.close
    monkeypatch.setattr(pair.a._pc, "close", hang)
    async with asyncio.timeout(30):
        await pair.a.close()
    await real()


async def test_links_leave_no_tasks_or_files(make_pair: MakePair) -> None:
    pair = await make_pair()
    await pair.close()
    tasks, files = asyncio.all_tasks(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        pair = await make_pair()
        await pair.close()
        unanswered = RtcLink([], LOCAL)
        await unanswered.offer()
        await unanswered.close()
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - tasks or len(os.listdir("/proc/self/fd")) > files:
            await asyncio.sleep(0.01)


async def test_a_link_whose_bursts_are_small_carries_and_leaves_no_files(
    make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its timer is another one, which holds a descriptor."""
    monkeypatch.setattr(Sender, "hurried", True)
    pair = await make_pair()
    await pair.close()
    files = len(os.listdir("/proc/self/fd"))
    pair = await make_pair()
    channel = pair.a.open_channel("stream")
    assert await pair.at_b.next() == ("opened", channel, "stream")
    for number in range(64):
        pair.a.send(channel, bytes([number]) * MAX_MESSAGE)
    for number in range(64):
        assert await pair.at_b.next() == ("message", channel, bytes([number]) * MAX_MESSAGE)
    await pair.close()
    async with asyncio.timeout(5):
        while len(os.listdir("/proc/self/fd")) > files:
            await asyncio.sleep(0.01)


async def test_a_receiver_that_fails_ends_its_link_only(make_pair: MakePair) -> None:
    pair, other = await make_pair(), await make_pair()

    def fail(channel: int, message: bytes) -> None:
        raise RuntimeError("bug")

    pair.at_b.message_received = fail  # type: ignore[method-assign]
    pair.a.send(pair.a.open_channel("x"), b"boom")
    error = await pair.at_b.end()
    assert error is not None
    assert error.code is ErrorCode.INTERNAL
    await still_works(other)


async def still_works(pair: Pair) -> None:
    channel = pair.a.open_channel("alive")
    pair.a.send(channel, b"yes")
    assert await pair.at_b.next() == ("opened", channel, "alive")
    assert await pair.at_b.next() == ("message", channel, b"yes")


class Stock:
    """An unmodified aiortc peer that calls one of our links."""

    def __init__(self) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection

        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel = self.pc.createDataChannel("first")
        self.received: asyncio.Queue[Any] = asyncio.Queue()
        self.channel.on("message", self.received.put_nowait)
        self.link = RtcLink([], PeerOptions())
        self.receiver = Receiver()

    async def connect(self) -> None:
        from aiortc import RTCSessionDescription

        opened = asyncio.Event()
        self.channel.on("open", opened.set)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        answer, _ = await self.link.answer(self.pc.localDescription.sdp)
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await self.link.connected()
        self.link.start(self.receiver)
        await opened.wait()
        assert (await self.receiver.next())[2] == "first"

    async def send(self, channel: int, kind: int, data: bytes, **how: Any) -> None:
        await self.pc.sctp._send(channel, kind, data, **how)

    async def close(self) -> None:
        await self.link.close()
        await self.pc.close()


@pytest.fixture
async def stock() -> AsyncIterator[Stock]:
    peer = Stock()
    await peer.connect()
    yield peer
    await peer.close()


async def test_a_stock_peer_is_served(stock: Stock) -> None:
    assert stock.channel.id is not None
    stock.channel.send(b"hello")
    assert await stock.receiver.next() == ("message", stock.channel.id, b"hello")
    stock.link.send(stock.channel.id, b"x" * MAX_MESSAGE)
    assert await stock.received.get() == b"x" * MAX_MESSAGE


def opening(label: bytes = b"x", kind: int = 0) -> bytes:
    return pack("!BBHLHH", OPEN, kind, 0, 0, len(label), 0) + label


MISDEEDS: dict[str, tuple[int, int, bytes]] = {
    "text": (0, STRING, b"hello"),
    "bad UTF-8 text": (0, STRING, b"\xff\xfe"),
    "giant message": (0, BINARY, bytes(MAX_MESSAGE + 1)),
    "second open": (0, DCEP, opening()),
    "our number": (7, DCEP, opening()),
    "bad label": (2, DCEP, opening(b"\xff\xff")),
    "long label": (2, DCEP, opening(b"x" * 65)),
    "label past its end": (2, DCEP, pack("!BBHLHH", OPEN, 0, 0, 0, 60000, 0)),
    "unordered": (2, DCEP, opening(kind=0x80)),
    "lossy": (2, DCEP, opening(kind=1)),
    "unknown acknowledgement": (2, DCEP, bytes([ACK])),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_misdeeds_end_that_session_only(stock: Stock, make_pair: MakePair, misdeed: str) -> None:
    other = await make_pair()
    # Numbers of the stock peer's own parity, whichever side became DTLS server.
    base = stock.channel.id or 0
    channel, kind, data = MISDEEDS[misdeed]
    await stock.send(channel + base if channel != 7 else 7 - base, kind, data)
    error = await stock.receiver.end()
    assert error is not None
    assert error.code is ErrorCode.PROTOCOL_ERROR
    await still_works(other)


async def test_messages_on_unknown_channels_are_ignored(stock: Stock) -> None:
    await stock.send(100, BINARY, b"nobody")
    stock.channel.send(b"still here")
    assert (await stock.receiver.next())[2] == b"still here"


async def test_acknowledging_what_was_never_sent_ends_the_session_fast(stock: Stock) -> None:
    """250 gaps of 65,535 numbers froze the library for a second, which is work: waiting does not count here."""
    from aiortc.rtcsctptransport import SackChunk

    sack = SackChunk()
    sack.cumulative_tsn = stock.pc.sctp._last_received_tsn
    sack.advertised_rwnd = 1 << 20
    sack.gaps = [(1, 65535)] * 250
    begin = time.process_time()
    await stock.pc.sctp._send_chunk(sack)
    error = await stock.receiver.end()
    assert error is not None
    assert error.code is ErrorCode.PROTOCOL_ERROR
    assert time.process_time() - begin < 0.5


async def test_sending_past_the_window_ends_the_session(stock: Stock) -> None:
    """A message that never ends: fragments pile up until the advertised window is used up."""
    from aiortc.rtcsctptransport import DataChunk

    sctp = stock.pc.sctp
    for number in range(1200):
        if stock.receiver.gone.is_set():
            break
        chunk = DataChunk()
        chunk.flags = 2 if number == 0 else 0
        chunk.tsn = (sctp._local_tsn + number) % (1 << 32)
        chunk.stream_id = stock.channel.id
        chunk.stream_seq = sctp._outbound_stream_seq.get(stock.channel.id, 0)
        chunk.protocol = BINARY
        chunk.user_data = bytes(1100)
        try:
            await sctp._send_chunk(chunk)
        except ConnectionError:
            break
        await asyncio.sleep(0)
    error = await stock.receiver.end()
    assert error is not None
    assert error.code is ErrorCode.PROTOCOL_ERROR
    assert "message of more than" in error.detail


async def test_unusable_descriptions_are_refused() -> None:
    link = RtcLink([], LOCAL)
    with pytest.raises(FarsiteError) as caught:
        await link.answer("v=0\r\nm=application nine UDP/DTLS/SCTP x\r\n")
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR
    with pytest.raises(FarsiteError):
        await link.add_candidates(["candidate:nonsense"], complete=False)
    await link.close()


def test_candidates_that_are_names_are_stripped() -> None:
    name = "a=candidate:1 1 udp 1 5c6ab0f0-1d2c-4c44-8b5e-5c1d1d7b8a11.local 5000 typ host"
    sdp = f"v=0\r\n{name}\r\na=candidate:2 1 udp 1 192.0.2.1 5000 typ host\r\n"
    assert without_names(sdp) == "v=0\r\na=candidate:2 1 udp 1 192.0.2.1 5000 typ host\r\n"
