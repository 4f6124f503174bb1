"""Against an unmodified aiortc over real sockets: both roles, both directions, closing, and large volumes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from farsite_signaling.peer.link import HIGH_WATER, MAX_MESSAGE
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.wire.errors import FarsiteError

MESSAGES = 400


class Ours:
    """Receiver of our link."""

    def __init__(self, link: RtcLink) -> None:
        self.link = link
        self.opened: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed: asyncio.Queue[int] = asyncio.Queue()
        self.writable_again = asyncio.Event()
        self.lost: list[FarsiteError | None] = []

    def channel_opened(self, channel: int, label: str) -> None:
        self.opened.put_nowait((channel, label))

    def message_received(self, channel: int, message: bytes) -> None:
        self.messages.put_nowait(message)

    def channel_closed(self, channel: int) -> None:
        self.closed.put_nowait(channel)

    def writable(self) -> None:
        self.writable_again.set()

    def link_lost(self, error: FarsiteError | None) -> None:
        self.lost.append(error)

    async def send(self, channel: int, messages: list[bytes]) -> None:
        for message in messages:
            while self.link.buffered_amount >= HIGH_WATER:
                self.writable_again.clear()
                await self.writable_again.wait()
            self.link.send(channel, message)


class Meeting:
    def __init__(self) -> None:
        self.stock = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channels: asyncio.Queue[Any] = asyncio.Queue()
        self.stock.on("datachannel", self._arrived)
        self.received: asyncio.Queue[Any] = asyncio.Queue()
        self.ours = Ours(RtcLink([], PeerOptions(loopback=True)))

    def _arrived(self, channel: Any) -> None:
        channel.on("message", self.received.put_nowait)
        self.channels.put_nowait(channel)

    async def stock_calls(self) -> None:
        self.stock.createDataChannel("stock").on("message", self.received.put_nowait)
        await self.stock.setLocalDescription(await self.stock.createOffer())
        answer, _ = await self.ours.link.answer(self.stock.localDescription.sdp)
        await self.stock.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await self._connected()

    async def we_call(self) -> None:
        offer, _ = await self.ours.link.offer()
        await self.stock.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.stock.setLocalDescription(await self.stock.createAnswer())
        await self.ours.link.accept(self.stock.localDescription.sdp)
        await self._connected()

    async def _connected(self) -> None:
        await self.ours.link.connected()
        self.ours.link.start(self.ours)

    async def close(self) -> None:
        await self.ours.link.close()
        await self.stock.close()


@pytest.fixture(params=["stock_calls", "we_call"])
async def meeting(request: pytest.FixtureRequest) -> AsyncIterator[Meeting]:
    made = Meeting()
    async with asyncio.timeout(20):
        await getattr(made, request.param)()
    yield made
    await made.close()


def messages() -> list[bytes]:
    return [hashlib.sha256(b"%d" % n).digest() * (MAX_MESSAGE // 32) for n in range(MESSAGES)]


async def test_to_stock(meeting: Meeting) -> None:
    number = meeting.ours.link.open_channel("ours")
    channel = await meeting.channels.get()
    assert (channel.id, channel.label) == (number, "ours")
    sending = messages()
    await meeting.ours.send(number, sending)
    assert [await meeting.received.get() for _ in sending] == sending
    assert meeting.ours.lost == []


async def test_from_stock(meeting: Meeting) -> None:
    channel = meeting.stock.createDataChannel("theirs")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await opened.wait()
    while (await meeting.ours.opened.get())[1] != "theirs":
        pass
    sending = messages()
    for message in sending:
        channel.send(message)
    assert [await meeting.ours.messages.get() for _ in sending] == sending
    assert meeting.ours.lost == []


async def test_both_ways_at_once(meeting: Meeting) -> None:
    number = meeting.ours.link.open_channel("both")
    channel = await meeting.channels.get()
    sending = messages()
    for message in sending:
        channel.send(message)
    await meeting.ours.send(number, sending)
    assert [await meeting.received.get() for _ in sending] == sending
    assert [await meeting.ours.messages.get() for _ in sending] == sending


async def test_channels_close_from_either_side(meeting: Meeting) -> None:
    first, second = (meeting.ours.link.open_channel(label) for label in ("a", "b"))
    theirs = [await meeting.channels.get() for _ in range(2)]
    gone = asyncio.Event()
    theirs[0].on("close", gone.set)
    meeting.ours.link.close_channel(first)
    await gone.wait()
    theirs[1].close()
    assert await meeting.ours.closed.get() == second
    number = meeting.ours.link.open_channel("again")
    assert (await meeting.channels.get()).id == number


async def test_hundred_channels_at_once(meeting: Meeting) -> None:
    numbers = [meeting.ours.link.open_channel(f"{n}") for n in range(100)]
    for number in numbers:
        meeting.ours.link.send(number, b"%d" % number)
    channels = [await meeting.channels.get() for _ in numbers]
    assert [channel.id for channel in channels] == numbers
    assert [await meeting.received.get() for _ in numbers] == [b"%d" % number for number in numbers]
