"""An unmodified aiortc peer that sends and receives: `python -m tests.bench.stock_process`.

One line in: the offer as JSON; one line out: the answer. The channel takes text: `PUT n`, `GET n`, `CPU`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.bench.edge_process import lines, say
from tests.bench.harness import loop_factory
from tests.bench.rig import cpu_seconds

MESSAGE = bytes(16 * 1024)
HIGH_WATER = 256 * 1024


class Counter:
    """Counts bytes on a channel and sends as fast as its queue drains."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._drained = asyncio.Event()
        self._wanted = 0
        self._complete = asyncio.Event()
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        channel.bufferedAmountLowThreshold = HIGH_WATER // 2
        channel.on("bufferedamountlow", self._drained.set)
        channel.on("message", self._message)

    def expect(self, size: int) -> None:
        self._wanted = size
        self._complete.clear()

    def _message(self, message: bytes | str) -> None:
        if isinstance(message, str):
            self.texts.put_nowait(message)
            verb, _, size = message.partition(" ")
            if verb == "PUT":
                self.expect(int(size))
            return
        self._wanted -= len(message)
        if self._wanted <= 0:
            self._complete.set()

    async def received(self) -> None:
        await self._complete.wait()

    async def give(self, size: int) -> None:
        for _ in range(size // len(MESSAGE)):
            if self._channel.bufferedAmount >= HIGH_WATER:
                self._drained.clear()
                await self._drained.wait()
            self._channel.send(MESSAGE)


async def main() -> None:
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    reader = await lines()
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    opened: asyncio.Queue[Any] = asyncio.Queue()
    pc.on("datachannel", lambda channel: opened.put_nowait((channel, Counter(channel))))
    offer = json.loads(await reader.readline())
    await pc.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    say(json.dumps({"sdp": pc.localDescription.sdp}))
    channel, counter = await opened.get()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve(channel, counter))
        await reader.read()
        serving.cancel()
    await pc.close()


async def serve(channel: Any, counter: Counter) -> None:
    while True:
        verb, _, size = (await counter.texts.get()).partition(" ")
        if verb == "PUT":
            await counter.received()
            channel.send("done")
        elif verb == "GET":
            await counter.give(int(size))
        else:
            channel.send(str(cpu_seconds()))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
