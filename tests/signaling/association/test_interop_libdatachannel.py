"""Against libdatachannel (npm's node-datachannel, found by Node's own rules and NODE_PATH): both roles and directions."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from farsite_signaling.peer.link import HIGH_WATER, MAX_MESSAGE
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.rtc import RtcLink

SCRIPT = Path(__file__).with_name("libdatachannel_peer.cjs")
COUNT = 256


class Ours:
    def __init__(self, link: RtcLink) -> None:
        self.link = link
        self.messages: list[bytes] = []
        self.all_here = asyncio.Event()
        self.writable_again = asyncio.Event()

    def channel_opened(self, channel: int, label: str) -> None:
        assert label == "lib"

    def message_received(self, channel: int, message: bytes) -> None:
        self.messages.append(message)
        if len(self.messages) == COUNT:
            self.all_here.set()

    def channel_closed(self, channel: int) -> None: ...

    def writable(self) -> None:
        self.writable_again.set()

    def link_lost(self, error: object) -> None: ...

    async def send(self) -> None:
        channel = self.link.open_channel("ours")
        for number in range(COUNT):
            while self.link.buffered_amount >= HIGH_WATER:
                self.writable_again.clear()
                await self.writable_again.wait()
            self.link.send(channel, bytes([number % 251]) * MAX_MESSAGE)


@pytest.fixture(scope="module")
def node() -> str:
    node = shutil.which("node")
    resolve = ["-e", "require.resolve('node-datachannel')"]
    if node is None or subprocess.run([node, *resolve], capture_output=True, cwd=SCRIPT.parent).returncode:
        assert os.environ.get("CI") != "true", "Node or node-datachannel is missing"
        pytest.skip("node-datachannel is not installed")
    return node


@pytest.fixture
async def link() -> AsyncIterator[RtcLink]:
    made = RtcLink([], PeerOptions())
    yield made
    await made.close()


class Library:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def tell(self, sdp: str) -> None:
        self._in.write(json.dumps({"sdp": sdp}).encode() + b"\n")

    async def hear(self) -> Any:
        return json.loads(await self._out.readline())

    def end(self) -> None:
        self._in.close()


@pytest.mark.parametrize("role", ["caller", "callee"])
async def test_both_directions(role: str, node: str, link: RtcLink) -> None:
    process = await asyncio.create_subprocess_exec(
        node, str(SCRIPT), role, str(MAX_MESSAGE), str(COUNT), stdin=-1, stdout=-1
    )
    library, ours = Library(process), Ours(link)
    async with asyncio.timeout(40):
        if role == "caller":
            library.tell((await link.answer((await library.hear())["sdp"]))[0])
        else:
            library.tell((await link.offer())[0])
            await link.accept((await library.hear())["sdp"])
        await link.connected()
        link.start(ours)
        await ours.send()
        await ours.all_here.wait()
        assert await library.hear() == {"received": COUNT * MAX_MESSAGE, "wrong": 0}
        library.end()
        await process.wait()
    assert ours.messages == [bytes([number % 251]) * MAX_MESSAGE for number in range(COUNT)]
