"""One stream of bytes each way between two ends, over whatever carries it, counted where it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

from farsite_signaling.peer.link import HIGH_WATER as LINK_HIGH_WATER
from farsite_signaling.peer.link import Link
from farsite_signaling.wire.errors import FarsiteError

BLOCK = bytes(64 * 1024)
MESSAGE = bytes(16 * 1024)
SAMPLE_SECONDS = 0.01
PAUSE_SECONDS = 0.02
"""Between requests."""
HIGH_WATER = 1024 * 1024
"""Bytes a stock data channel may queue: it has no other window."""


class Arrivals:
    """When how much has come. One transfer at a time."""

    def __init__(self) -> None:
        self._enough: asyncio.Event = asyncio.Event()
        self._wanted = 0
        self._total = 0
        self._samples: list[tuple[float, int]] = []

    def add(self, size: int) -> None:
        self._total += size
        now = time.monotonic()
        complete = self._total >= self._wanted
        if complete or not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self._total))
        if complete:
            self._enough.set()

    async def receive(self, size: int, seconds: float) -> list[tuple[float, int]]:
        """Until `size` bytes are here or the time is up."""
        self._wanted = size
        try:
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        except TimeoutError:
            self._samples.append((time.monotonic(), self._total))
        return self._samples


class StreamFlow(asyncio.Protocol):
    """Over an asyncio transport: TCP, or a stream of a tunnel."""

    def __init__(self, opened: Callable[[StreamFlow], None] | None = None) -> None:
        self.arrivals = Arrivals()
        self._opened = opened
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's derive from none of asyncio's
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        self.arrivals.add(len(data))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def send(self, size: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while size > 0 and time.monotonic() < until:
            self._transport.write(BLOCK[:size])
            size -= min(size, len(BLOCK))
            await asyncio.sleep(0)
            await self._writable.wait()


class ChannelFlow:
    """Over a data channel of stock aiortc."""

    def __init__(self, channel: Any) -> None:
        self.arrivals = Arrivals()
        self._channel = channel
        self._drained = asyncio.Event()
        channel.bufferedAmountLowThreshold = HIGH_WATER // 2
        channel.on("bufferedamountlow", self._drained.set)
        channel.on("message", lambda message: self.arrivals.add(len(message)))

    async def send(self, size: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while size > 0 and time.monotonic() < until:
            self._channel.send(MESSAGE[:size])
            size -= min(size, len(MESSAGE))
            if self._channel.bufferedAmount >= HIGH_WATER:
                self._drained.clear()
                await self._drained.wait()


class LinkFlow:
    """Over the channel that the other side opened on one of our links, without a tunnel."""

    def __init__(self, link: Link, opened: Callable[[LinkFlow], None]) -> None:
        self.arrivals = Arrivals()
        self._link = link
        self._opened = opened
        self._drained = asyncio.Event()
        link.start(self)

    def channel_opened(self, channel: int, label: str) -> None:
        self._channel = channel
        self._opened(self)

    def message_received(self, channel: int, message: bytes) -> None:
        self.arrivals.add(len(message))

    def channel_closed(self, channel: int) -> None:
        pass

    def writable(self) -> None:
        self._drained.set()

    def link_lost(self, error: FarsiteError | None) -> None:
        pass

    async def send(self, size: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while size > 0 and time.monotonic() < until:
            self._link.send(self._channel, MESSAGE[:size])
            size -= min(size, len(MESSAGE))
            await asyncio.sleep(0)
            if self._link.buffered_amount >= LINK_HIGH_WATER:
                self._drained.clear()
                await self._drained.wait()


class Echo(asyncio.Protocol):
    """Answers with what it is asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def trips(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int, seconds: float
) -> list[tuple[float, float]]:
    """Requests of `size` bytes to an `Echo`, one after another: when each began (monotonic), and its ms."""
    request = bytes(size)
    until = time.monotonic() + seconds
    measured: list[tuple[float, float]] = []
    while (begin := time.monotonic()) < until:
        writer.write(request)
        await reader.readexactly(size)
        measured.append((begin, (time.monotonic() - begin) * 1000))
        await asyncio.sleep(PAUSE_SECONDS)
    return measured


Flow = StreamFlow | ChannelFlow | LinkFlow
