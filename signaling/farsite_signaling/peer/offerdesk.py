"""Takes offers in: verifies each, has it served, and says no where that is the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from farsite_signaling.peer.envelopes import Peek
from farsite_signaling.peer.gate import Joinable, OfferGate, VerifiedOffer, tunnel_to_join
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.places import Places
from farsite_signaling.peer.router import Conversation, EnvelopeRouter
from farsite_signaling.peer.talk import Talk
from farsite_signaling.wire.envelope import Envelope
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)

MAX_PENDING = 128
"""Offers being looked at, from anybody. More are dropped without a word."""

_NO_WAY = frozenset({ErrorCode.PEER_UNREACHABLE, ErrorCode.PEER_TIMEOUT, ErrorCode.CLOSED})

OnRefused = Callable[[FarsiteError, str, str], None]
T = TypeVar("T")


class OfferServer(Protocol[T]):
    """What is done for a verified offer. `tunnels`: those that stand, by session."""

    @property
    def tunnels(self) -> Mapping[str, Joinable]: ...

    async def open(self, verified: VerifiedOffer, talk: Talk) -> T:
        """Raises `FarsiteError` to refuse."""

    async def run(self, opened: T) -> None:
        """Until the tunnel, or the further link, is no more."""


class _NoDirectPath(FarsiteError):
    """A try for a path without relays came to nothing, as it often does: nobody was refused anything."""


class OfferDesk(Generic[T]):
    """`async with`. `on_refused(error, sender's URN, session)` must not raise."""

    def __init__(
        self,
        router: EnvelopeRouter,
        gate: OfferGate,
        places: Places,
        server: OfferServer[T],
        options: PeerOptions,
        *,
        on_refused: OnRefused = lambda error, sender, session: None,
    ) -> None:
        self._router = router
        self._gate = gate
        self._places = places
        self._server = server
        self._options = options
        self._on_refused = on_refused
        self._group: asyncio.TaskGroup | None = None
        self._pending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        self._router.listen(self._offered)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._router.listen(None)
        group, self._group = self._group, None
        for task in self._pending:
            task.cancel()
        assert group is not None
        await group.__aexit__(kind, error, trace)

    def _offered(self, envelope: Envelope, inside: Peek) -> None:
        if self._group is None or len(self._pending) >= MAX_PENDING + self._options.max_sessions:
            return
        # Opened before anything is awaited: candidates may follow on the heels of the offer.
        conversation = self._router.conversation(inside.session, inside.fingerprint)
        conversation.__enter__()
        task = self._group.create_task(
            self._session(envelope, conversation), name=f"listener:session-{inside.session}"
        )
        self._pending.add(task)
        task.add_done_callback(lambda done: self._session_done(done, conversation))

    def _session_done(self, task: asyncio.Task[None], conversation: Conversation) -> None:
        conversation.close()
        self._pending.discard(task)

    async def _session(self, envelope: Envelope, conversation: Conversation) -> None:
        found = await self._open_or_refuse(envelope, conversation)
        if found is None:
            return
        verified, opened = found
        # A further link is bounded for as long as it stands beside the one in use.
        joins = self._places.taken(verified.remote, joins=True) if verified.offer.resume else nullcontext()
        with joins:
            await self._server.run(opened)

    async def _open_or_refuse(
        self, envelope: Envelope, conversation: Conversation
    ) -> tuple[VerifiedOffer, T] | None:
        try:
            async with asyncio.timeout(self._options.open_timeout):
                return await self._open(envelope, conversation)
        except FarsiteError as error:
            refusal = error
        except TimeoutError:
            refusal = FarsiteError(ErrorCode.PEER_UNREACHABLE, "No way to the client was found in time.")
        except Exception:
            logger.exception("opening session %s failed", conversation.session)
            refusal = FarsiteError(
                ErrorCode.INTERNAL, "The edge host failed to open the session; see its log."
            )
        await self._refuse(envelope, conversation.session, refusal)
        return None

    async def _open(self, envelope: Envelope, conversation: Conversation) -> tuple[VerifiedOffer, T]:
        """Raises `FarsiteError`."""
        verified = self._gate.verify(envelope)
        offer, remote = verified.offer, verified.remote
        if offer.resume:
            tunnel_to_join(self._server.tunnels, verified)
        self._places.check(remote, verified.grant.sid, joins=offer.resume)
        try:
            with self._places.taken(remote, joins=offer.resume):
                talk = self._gate.talk(conversation, remote)
                return verified, await self._server.open(verified, talk)
        except FarsiteError as error:
            if offer.direct and error.code in _NO_WAY:
                raise _NoDirectPath(error.code, error.detail) from error
            raise

    async def _refuse(self, envelope: Envelope, session: str, error: FarsiteError) -> None:
        logger.info("session %s of %s refused: %s", session, envelope.sender, error)
        if not isinstance(error, _NoDirectPath):
            self._on_refused(error, envelope.sender, session)
        if error.code is ErrorCode.REPLAYED:
            return  # the client did not ask twice: an answer would end the attempt it made itself
        with suppress(FarsiteError, OSError, RuntimeError):
            await self._router.send(self._gate.refusal(session, envelope.sender, error))
