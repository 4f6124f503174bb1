"""One session played through in the zygote: what is done there once, each worker has done already.

Libraries set themselves up, bytecode is rewritten for what runs through it, modules that are imported late are there: for
the memory this leaves each worker shares, and its first session is not its first.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.stream import ApiTarget

TIMEOUT = 10.0
TIMES = 3
ROUNDS = 20
logger = logging.getLogger(__name__)


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _Acceptor:
    async def accept(self, _tunnel: Any, _request: Any) -> Any:
        return _Echo


async def rehearse() -> None:
    """On loopback. That it fails costs what it would have saved."""
    try:
        async with asyncio.timeout(TIMEOUT):
            for _ in range(TIMES):
                await _play()
    except Exception as error:
        logger.info("no rehearsal: %r", error)


async def _play() -> None:
    options = PeerOptions(addresses=("127.0.0.1",))
    here, there = RtcLink([], options), RtcLink([], options)
    try:
        offer, _ = await here.offer()
        answer, _ = await there.answer(offer)
        await here.accept(answer)
        await asyncio.gather(here.connected(), there.connected())
        far = Tunnel(there, session="rehearsal", remote="here", initiator=False, acceptor=_Acceptor())
        near = Tunnel(here, session="rehearsal", remote="there", initiator=True)
        async with far, near:
            await _talk(near)
    finally:
        await asyncio.gather(here.close(), there.close())


async def _talk(tunnel: Tunnel) -> None:
    reader, writer = await tunnel.open_stream(ApiTarget())
    for _ in range(ROUNDS):
        writer.write(bytes(4096))
        await reader.readexactly(4096)
    writer.close()
