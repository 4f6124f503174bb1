"""The edge host's side: verifies who offers a session and with which grant, answers, and keeps the tunnels."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from farsite_signaling.identity import Identity, OrganizationTrust, verify_grant
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.peer.announcements import Announcements
from farsite_signaling.peer.envelopes import Peek, ReplayCache, seal, unseal
from farsite_signaling.peer.negotiation import Negotiation
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.router import Conversation, EnvelopeRouter
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.wire.envelope import Envelope, Offer, Refusal, Sealed
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.version import negotiate

if TYPE_CHECKING:
    from farsite_signaling.peer.tunnel import StreamAcceptor, Tunnel

logger = logging.getLogger(__name__)

MAX_PENDING = 128
"""Offers being looked at, from anybody. More are dropped without a word."""

Admit = Callable[[Grant], None]
OnOpened = Callable[["Tunnel"], None]
OnClosed = Callable[["Tunnel", FarsiteError | None], None]
OnRefused = Callable[[FarsiteError, str, str], None]


class TunnelListener:
    """`admit` raises `FarsiteError` to refuse. Callbacks must not raise; `on_refused(error, sender's URN, session)`."""

    def __init__(
        self,
        *,
        identity: Identity,
        trust: OrganizationTrust,
        grant_key: PublicKey,
        acceptor: StreamAcceptor,
        admit: Admit,
        options: PeerOptions,
        router: EnvelopeRouter,
        on_opened: OnOpened = lambda tunnel: None,
        on_closed: OnClosed = lambda tunnel, error: None,
        on_refused: OnRefused = lambda error, sender, session: None,
    ) -> None:
        self._identity = identity
        self._trust = trust
        self._grant_key = grant_key
        self._acceptor = acceptor
        self._admit = admit
        self._options = options
        self._router = router
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._on_refused = on_refused
        self._replays = ReplayCache()
        self._announcements = Announcements()
        self._group: asyncio.TaskGroup | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._opening: dict[Negotiation, str] = {}
        self._half_open: Counter[str] = Counter()
        self._tunnels: dict[str, Tunnel] = {}

    @property
    def tunnels(self) -> list[Tunnel]:
        """Those that stand."""
        return list(self._tunnels.values())

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

    def announced(self, message: SessionAnnounced) -> None:
        """The cloud granted a client a session: its offer follows."""
        self._announcements.add(message)

    async def ended(self, message: SessionEnded) -> None:
        """The cloud took a session back: its tunnel closes, and its offer is refused from now on."""
        error = FarsiteError(parse_code(message.code), message.detail or "The session was ended.")
        self._announcements.end(message.session, error)
        for negotiation, session in self._opening.items():
            if session == message.session:
                negotiation.link.fail(error)
        if (tunnel := self._tunnels.get(message.session)) is not None:
            await tunnel.close(error.code, error.detail)

    # one session

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
        opened = await self._open_or_refuse(envelope, conversation)
        if opened is None:
            return
        link, grant = opened
        try:
            await self._serve(link, grant)
        except Exception:
            logger.exception("session %s failed", grant.sid)  # one session's failure is nobody else's
        finally:
            await link.close()

    async def _open_or_refuse(
        self, envelope: Envelope, conversation: Conversation
    ) -> tuple[RtcLink, Grant] | None:
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

    async def _open(self, envelope: Envelope, conversation: Conversation) -> tuple[RtcLink, Grant]:
        """The standing link and its grant. Raises `FarsiteError`."""
        offer, sealed, grant = self._verify(envelope)
        version = negotiate(offer.versions, here="the edge host", there="the client")
        assert sealed.fingerprint is not None  # checked against the description
        negotiation = Negotiation(
            conversation,
            identity=self._identity,
            trust=self._trust,
            remote=sealed.sender,
            servers=self._announcements.servers(grant.sid),
            options=self._options,
            replays=self._replays,
        )
        self._half_open[sealed.sender] += 1
        try:
            async with negotiation:
                self._opening[negotiation] = grant.sid
                await negotiation.answer(offer, sealed.fingerprint, version)
                return await negotiation.connected(), grant
        finally:
            self._opening.pop(negotiation, None)
            self._half_open[sealed.sender] -= 1
            self._half_open += Counter()  # forgets who has none

    def _verify(self, envelope: Envelope) -> tuple[Offer, Sealed, Grant]:
        now = self._options.clock()
        sealed = unseal(envelope, self._trust, recipient=self._identity.urn, now=now, replays=self._replays)
        if not isinstance(sealed.body, Offer):
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Not an offer.")
        grant = self._verify_grant(sealed, sealed.body, now)
        self._announcements.check(grant.sid, sealed.sender)
        self._check_limits(sealed.sender, grant.sid)
        self._admit(grant)
        return sealed.body, sealed, grant

    def _verify_grant(self, sealed: Sealed, offer: Offer, now: float) -> Grant:
        grant = verify_grant(
            offer.grant, self._grant_key, audience=self._identity.urn, subject=sealed.sender, now=now
        )
        if grant.sid != sealed.session:
            raise FarsiteError(ErrorCode.GRANT_INVALID, "The grant is for another session.")
        if grant.until <= now:
            raise FarsiteError(ErrorCode.GRANT_EXPIRED, "The session is over; open a new one.")
        return grant

    def _check_limits(self, sender: str, session: str) -> None:
        standing = len(self._tunnels) - (session in self._tunnels)
        if standing + self._half_open.total() >= self._options.max_sessions:
            raise FarsiteError(
                ErrorCode.UNAVAILABLE,
                f"The edge host has {self._options.max_sessions} sessions open, which is its limit. Close one.",
            )
        if self._half_open[sender] >= self._options.max_half_open:
            raise FarsiteError(
                ErrorCode.RATE_LIMITED, "Too many sessions are being opened at once; try again in a moment."
            )

    async def _refuse(self, envelope: Envelope, session: str, error: FarsiteError) -> None:
        logger.info("session %s of %s refused: %s", session, envelope.sender, error)
        self._on_refused(error, envelope.sender, session)
        if error.code is ErrorCode.REPLAYED:
            return  # the client did not ask twice: an answer would end the attempt it made itself
        body = Refusal(code=error.code, detail=error.detail)
        answer = seal(self._identity, body, session, envelope.sender, None, self._options.clock())
        with suppress(FarsiteError, OSError, RuntimeError):
            await self._router.send(answer)

    async def _serve(self, link: RtcLink, grant: Grant) -> None:
        """Run the tunnel until either side ends it or its time is over."""
        from farsite_signaling.peer.tunnel import Tunnel

        tunnel = Tunnel(
            link, session=grant.sid, remote=grant.sub, initiator=False, acceptor=self._acceptor, grant=grant
        )
        async with tunnel:
            await self._replace(grant.sid, tunnel)
            self._on_opened(tunnel)
            error: FarsiteError | None = None
            try:
                error = await self._until_over(tunnel, grant)
            finally:
                if self._tunnels.get(grant.sid) is tunnel:
                    del self._tunnels[grant.sid]
                self._on_closed(tunnel, error)

    async def _replace(self, session: str, tunnel: Tunnel) -> None:
        """A session has one tunnel: the newer one, which its client opened because the older broke."""
        older = self._tunnels.pop(session, None)
        self._tunnels[session] = tunnel
        if older is not None:
            await older.close(ErrorCode.REPLACED, "The client opened this session anew.")

    async def _until_over(self, tunnel: Tunnel, grant: Grant) -> FarsiteError | None:
        # Revoked between its offer and now: the message has come when there was no tunnel to close.
        if (ended := self._announcements.ended(grant.sid)) is not None:
            await tunnel.close(ended.code, ended.detail)
        try:
            async with asyncio.timeout(max(0.0, grant.until - self._options.clock())):
                return await tunnel.wait_closed()
        except TimeoutError:
            over = FarsiteError(ErrorCode.SESSION_ENDED, "The session's time is over; open a new one.")
            await tunnel.close(over.code, over.detail)
            return over
