"""A peer that speaks the wire by hand, so that it can speak it wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from farsite_signaling.identity import Identity
from farsite_signaling.wire.hub import Bye, Hello, Proof, dump, parse_hub_message, proof_bytes


class RawPeer:
    def __init__(self, socket: ClientConnection, identity: Identity) -> None:
        self.socket = socket
        self.identity = identity

    async def say(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, (str, bytes)) else dump(message))

    async def hear(self) -> Any:
        async with asyncio.timeout(10):
            return parse_hub_message(await self.socket.recv())

    async def hear_kind(self, kind: type) -> Any:
        while not isinstance(message := await self.hear(), kind):
            pass
        return message

    async def bye(self) -> Bye:
        """The hub's last words; fails unless it closes after them."""
        bye = await self.hear_kind(Bye)
        async with asyncio.timeout(5):
            await self.socket.wait_closed()
        return bye

    def hello(self, **changes: Any) -> Hello:
        fields: dict[str, Any] = {
            "versions": [1],
            "name": self.identity.urn,
            "certificate": self.identity.certificate_pem,
        }
        return Hello(**(fields | changes))

    async def prove(self, hello: Hello | None = None, signer: Identity | None = None) -> None:
        hello = hello or self.hello()
        await self.say(hello)
        challenge = await self.hear()
        data = proof_bytes(challenge.nonce, hello.name)
        await self.say(Proof(signature=(signer or self.identity).sign(data)))


@pytest.fixture
async def raw_peer() -> AsyncIterator[Callable[..., Any]]:
    sockets: list[ClientConnection] = []

    async def open_raw(url: str, identity: Identity, **options: Any) -> RawPeer:
        options = {"ping_interval": None, "proxy": None, "close_timeout": 0.2} | options
        socket = await connect(url, **options)
        sockets.append(socket)
        return RawPeer(socket, identity)

    yield open_raw
    for socket in sockets:
        socket.transport.abort()
        await socket.wait_closed()
