"""This end of a connection between two unmodified aiortc peers: direct, or through the relay that our tunnels use."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from farsite_signaling.wire.ice import IceServer
from tests.bench.rig import Child
from tests.bench.stock_process import Counter

OPEN_SECONDS = 20.0
AUTHORITIES = "SSL_CERT_FILE"


class StockFailed(Exception):
    """Stock aiortc does not get through this way; the text says why."""


class StockPeer:
    """Connected while entered. With `servers` this end, and no other, is behind a relay, as the tunnels' rig has it."""

    def __init__(self, servers: list[IceServer] | None = None) -> None:
        self._servers = servers or []
        self._child = Child("tests.bench.stock_process")

    async def __aenter__(self) -> Self:
        await self._child.__aenter__()
        self._pc: Any = None
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._connect()
            self._assert_path()
        except BaseException as error:
            await self.__aexit__(None, None, None)
            if isinstance(error, TimeoutError | ConnectionError | StockFailed):
                raise StockFailed(str(error) or f"no connection within {OPEN_SECONDS:g} s") from error
            raise
        return self

    async def __aexit__(self, *error: Any) -> None:
        if self._pc is not None:
            await self._pc.close()
        await self._child.__aexit__(None, None, None)

    async def _connect(self) -> None:
        from aiortc import RTCPeerConnection, RTCSessionDescription

        self._pc = RTCPeerConnection(self._configuration())
        channel = self._pc.createDataChannel("bench")
        opened = asyncio.Event()
        channel.on("open", opened.set)
        with trusted(self._servers):
            await self._pc.setLocalDescription(await self._pc.createOffer())
        await self._child.send(json.dumps({"sdp": self._pc.localDescription.sdp}))
        answer = json.loads(await self._child.receive())
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await opened.wait()
        self._channel = channel
        self._counter = Counter(channel)

    def _configuration(self) -> Any:
        from aiortc import RTCConfiguration, RTCIceServer
        from aiortc.rtcconfiguration import RTCIceTransportPolicy as Policy

        known = [RTCIceServer(s.urls, s.username, s.credential) for s in self._servers]
        return RTCConfiguration(
            iceServers=known, iceTransportPolicy=Policy.RELAY if self._servers else Policy.ALL
        )

    def _assert_path(self) -> None:
        """What is measured is what is said: the selected pair is relayed, or it is not."""
        (pair,) = self._pc.sctp.transport.transport._connection._nominated.values()
        kinds = {pair.local_candidate.type, pair.remote_candidate.type}
        if ("relay" in kinds) is not bool(self._servers):
            raise StockFailed(f"the selected pair is {pair.local_candidate} with {pair.remote_candidate}")

    async def put(self, size: int) -> None:
        self._channel.send(f"PUT {size}")
        await self._counter.give(size)
        assert await self._counter.texts.get() == "done"

    async def get(self, size: int) -> None:
        self._counter.expect(size)
        self._channel.send(f"GET {size}")
        await self._counter.received()

    async def cpu(self) -> float:
        self._channel.send("CPU")
        return float(await self._counter.texts.get())


@contextmanager
def trusted(servers: list[IceServer]) -> Iterator[None]:
    """The relay's own authority, told the only way that aiortc hears of one: OpenSSL's environment."""
    before = os.environ.get(AUTHORITIES)
    with TemporaryDirectory(prefix="farsite-bench-") as folder:
        file = Path(folder) / "ca.pem"
        file.write_text("".join(server.ca for server in servers if server.ca))
        os.environ[AUTHORITIES] = str(file)
        try:
            yield
        finally:
            del os.environ[AUTHORITIES]
            if before is not None:
                os.environ[AUTHORITIES] = before
