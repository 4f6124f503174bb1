"""Hands envelopes from the one signaling connection to the conversations that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from farsite_signaling.peer.envelopes import Peek, peek
from farsite_signaling.wire.envelope import Envelope
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable

MAX_WAITING = 64
MAX_SENT = 256

Send = Callable[[EnvelopeMessage], Awaitable[None]]
OfferHandler = Callable[[Envelope, Peek], None]


class Conversation:
    """Envelopes of one attempt to connect. `fingerprint`: only what this DTLS certificate's owner sends."""

    def __init__(self, router: EnvelopeRouter, session: str, fingerprint: str | None) -> None:
        self.session = session
        self.fingerprint = fingerprint
        self._router = router
        self._waiting: asyncio.Queue[Envelope | FarsiteError] = asyncio.Queue(MAX_WAITING)

    def __enter__(self) -> Self:
        if self not in self._router._conversations:
            self._router._conversations.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._router._forget(self)

    def wants(self, inside: Peek) -> bool:
        if inside.session != self.session:
            return False
        return self.fingerprint is None or inside.fingerprint in (None, self.fingerprint)

    def put(self, item: Envelope | FarsiteError) -> None:
        """Whoever floods a conversation loses what is too much, nobody else."""
        if not self._waiting.full():
            self._waiting.put_nowait(item)

    async def send(self, envelope: Envelope) -> None:
        await self._router._send_for(self, envelope)

    async def receive(self) -> Envelope:
        """Raises `FarsiteError` when an envelope we sent could not be delivered."""
        item = await self._waiting.get()
        if isinstance(item, FarsiteError):
            raise item
        return item


class EnvelopeRouter:
    """`receive` is called with what the hub sends; `send` brings an envelope to the hub."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._conversations: list[Conversation] = []
        self._sent: dict[str, Conversation] = {}
        self._on_offer: OfferHandler | None = None

    def listen(self, handler: OfferHandler | None) -> None:
        """Offers go to `handler`: it must not raise, and opens its conversation before it returns."""
        self._on_offer = handler

    def conversation(self, session: str, fingerprint: str | None = None) -> Conversation:
        """Usable inside `with` only."""
        return Conversation(self, session, fingerprint)

    async def send(self, envelope: Envelope) -> None:
        """An envelope nobody waits an answer to."""
        await self._send(EnvelopeMessage(envelope=envelope))

    def receive(self, message: EnvelopeMessage | Undeliverable) -> None:
        if isinstance(message, Undeliverable):
            self._undeliverable(message)
            return
        inside = peek(message.envelope)
        if inside is None:
            return
        if inside.kind == "offer":
            if self._on_offer is not None:
                self._on_offer(message.envelope, inside)
            return
        for conversation in self._conversations:
            if conversation.wants(inside):
                conversation.put(message.envelope)

    def _undeliverable(self, message: Undeliverable) -> None:
        conversation = self._sent.pop(message.id, None)
        if conversation is not None:
            detail = message.detail or "The other side could not be reached."
            conversation.put(FarsiteError(parse_code(message.code), detail))

    async def _send_for(self, conversation: Conversation, envelope: Envelope) -> None:
        while len(self._sent) >= MAX_SENT:
            self._sent.pop(next(iter(self._sent)))
        self._sent[envelope.id] = conversation
        try:
            await self._send(EnvelopeMessage(envelope=envelope))
        except FarsiteError:
            raise
        except (OSError, RuntimeError) as error:
            raise FarsiteError(
                ErrorCode.CLOUD_UNREACHABLE, f"The signaling connection is down: {error}"
            ) from error

    def _forget(self, conversation: Conversation) -> None:
        if conversation in self._conversations:
            self._conversations.remove(conversation)
        for envelope in [key for key, value in self._sent.items() if value is conversation]:
            del self._sent[envelope]
