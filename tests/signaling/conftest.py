"""A hub on loopback, peers to connect to it, and a relay that breaks connections the way networks do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from farsite_signaling.hub.testing import HubServer, MemoryOrganization
from farsite_signaling.identity import Identity
from farsite_signaling.peer.signaling import SignalingClient, SignalingState, SignalingTiming
from farsite_signaling.wire.envelope import Envelope
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import EnvelopeMessage


class Relay:
    """Forwards TCP to `port`; `blackhole` stops forwarding without closing, `cut` resets."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0

    def blackhole(self) -> None:
        self._flowing.clear()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._flowing.set()
        self.cut()
        if self._serving:
            # Also those that were just accepted: their connections would outlive the loop.
            for task in self._serving:
                task.cancel()
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.accepted += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(downstream)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, downstream))
                group.create_task(self._pump(upstream, writer))
        finally:
            downstream.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        await self._flowing.wait()
        writer.transport.abort()


class Peer:
    """A signaling client and all it was told."""

    def __init__(self, url: str, identity: Identity, **options: Any) -> None:
        options.setdefault("timing", SignalingTiming(first_retry=0.02, retry_cap=0.2, refused_retry=0.3))
        self.urn = identity.urn
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.states: list[tuple[SignalingState, FarsiteError | None]] = []
        self._changed = asyncio.Condition()
        self.client = SignalingClient(
            url, identity, agent="test", on_message=self.messages.put, on_state=self._on_state, **options
        )
        self._wake = asyncio.Event()

    def _on_state(self, state: SignalingState, error: FarsiteError | None) -> None:
        self.states.append((state, error))
        self._wake.set()

    async def until(self, state: SignalingState, after: int = 0) -> FarsiteError | None:
        """Wait for `state` among the changes from number `after` on; its error."""
        while True:
            for seen, error in self.states[after:]:
                if seen is state:
                    return error
            self._wake.clear()
            await self._wake.wait()

    async def receive(self) -> Any:
        async with asyncio.timeout(10):
            return await self.messages.get()

    async def send_envelope(self, recipient: str, payload: str = "x", **changes: Any) -> None:
        await self.client.send(envelope(self.urn, recipient, payload, **changes))


def envelope(sender: str, recipient: str, payload: str = "x", name: str = "e1") -> EnvelopeMessage:
    body = Envelope(
        id=name, sender=sender, recipient=recipient, payload=payload, signature="s", certificate="c"
    )
    return EnvelopeMessage(envelope=body)


@pytest.fixture
def make_envelope() -> Callable[..., EnvelopeMessage]:
    return envelope


@pytest.fixture
async def organization() -> MemoryOrganization:
    return MemoryOrganization()


@pytest.fixture
async def start_hub(organization: MemoryOrganization) -> AsyncIterator[Callable[..., Any]]:
    """`await start_hub(**options)` gives a running `HubServer` of the organization."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**options: Any) -> HubServer:
            return await stack.enter_async_context(HubServer(organization, **options))

        yield start


@pytest.fixture
async def start_peer() -> AsyncIterator[Callable[..., Any]]:
    """`await start_peer(url, identity, **options)` gives an online `Peer`; `wait=False` does not wait."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(url: str, identity: Identity, *, wait: bool = True, **options: Any) -> Peer:
            peer = Peer(url, identity, **options)
            await stack.enter_async_context(peer.client)
            if wait:
                await peer.client.wait_online(10)
            return peer

        yield start


@pytest.fixture
async def start_relay() -> AsyncIterator[Callable[..., Any]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(port: int) -> Relay:
            return await stack.enter_async_context(Relay(port))

        yield start
