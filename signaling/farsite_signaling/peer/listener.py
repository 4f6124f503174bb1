"""The edge host's side: verifies who offers a session and with which grant, answers, and keeps the tunnels."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from farsite_signaling.identity import Identity, OrganizationTrust, verify_grant
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.peer.announcements import Announcements
from farsite_signaling.peer.envelopes import Peek, ReplayCache, seal, unseal
from farsite_signaling.peer.negotiation import Negotiation, Purpose
from farsite_signaling.peer.network import NetworkHint, NetworkMonitor
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.proof import Standby
from farsite_signaling.peer.router import Conversation, EnvelopeRouter
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.wire.envelope import Envelope, Offer, Refusal, Sealed
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.version import negotiate

if TYPE_CHECKING:
    from farsite_signaling.peer.streams import StreamAcceptor
    from farsite_signaling.peer.tunnel import Tunnel

logger = logging.getLogger(__name__)

MAX_PENDING = 128
"""Offers being looked at, from anybody. More are dropped without a word."""
STANDBY_TIMEOUT = 30.0
"""How long a link may stand beside the one in use until streams come over it, seconds."""

_NO_WAY = frozenset({ErrorCode.PEER_UNREACHABLE, ErrorCode.PEER_TIMEOUT, ErrorCode.CLOSED})

Admit = Callable[[Grant], None]
OnOpened = Callable[["Tunnel"], None]
OnClosed = Callable[["Tunnel", FarsiteError | None], None]
OnRefused = Callable[[FarsiteError, str, str], None]


@dataclass(frozen=True)
class _Opened:
    link: RtcLink
    grant: Grant
    offer: Offer
    joins: Tunnel | None


class _NoDirectPath(FarsiteError):
    """A try for a path without relays came to nothing, as it often does: nobody was refused anything."""


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
        self._joining: Counter[str] = Counter()  # links for tunnels that stand: they take no further place
        self._tunnels: dict[str, Tunnel] = {}
        self._monitor = NetworkMonitor(self._network_changed)
        self._watching: asyncio.Task[None] | None = None

    @property
    def tunnels(self) -> list[Tunnel]:
        """Those that stand."""
        return list(self._tunnels.values())

    @property
    def sessions(self) -> list[str]:
        """Those that have a tunnel."""
        return list(self._tunnels)

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        self._router.listen(self._offered)
        self._watching = self._group.create_task(self._monitor.run(), name="listener:network")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._router.listen(None)
        group, self._group = self._group, None
        for task in (*self._pending, *([self._watching] if self._watching else [])):
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

    def _network_changed(self, hint: NetworkHint) -> None:
        for tunnel in self.tunnels:
            tunnel.doubt(hint.gone)

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
        try:
            if opened.joins is None:
                await self._serve(opened)
            else:
                await self._stand_by(opened, opened.joins)
        except Exception:
            logger.exception("session %s failed", opened.grant.sid)  # one session's failure is nobody else's
        finally:
            if opened.joins is None:
                await opened.link.close()

    async def _open_or_refuse(self, envelope: Envelope, conversation: Conversation) -> _Opened | None:
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

    async def _open(self, envelope: Envelope, conversation: Conversation) -> _Opened:
        """The standing link and its grant. Raises `FarsiteError`."""
        offer, sealed, grant = self._verify(envelope)
        joins = self._tunnel_to_join(offer, grant) if offer.resume else None
        version = negotiate(offer.versions, here="the edge host", there="the client")
        assert sealed.fingerprint is not None  # checked against the description
        negotiation = Negotiation(
            conversation,
            identity=self._identity,
            trust=self._trust,
            remote=sealed.sender,
            servers=self._announcements.servers(grant.sid),
            options=replace(self._options, direct_only=True) if offer.direct else self._options,
            replays=self._replays,
            purpose=Purpose(offer.tunnel, offer.resume, offer.direct),
        )
        counter = self._joining if offer.resume else self._half_open
        counter[sealed.sender] += 1
        try:
            async with negotiation:
                self._opening[negotiation] = grant.sid
                await negotiation.answer(offer, sealed.fingerprint, version)
                return _Opened(await negotiation.connected(), grant, offer, joins)
        except FarsiteError as error:
            if offer.direct and error.code in _NO_WAY:
                raise _NoDirectPath(error.code, error.detail) from error
            raise
        finally:
            self._opening.pop(negotiation, None)
            _less(counter, sealed.sender)

    def _verify(self, envelope: Envelope) -> tuple[Offer, Sealed, Grant]:
        now = self._options.clock()
        sealed = unseal(envelope, self._trust, recipient=self._identity.urn, now=now, replays=self._replays)
        if not isinstance(sealed.body, Offer):
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Not an offer.")
        grant = self._verify_grant(sealed, sealed.body, now)
        self._announcements.check(grant.sid, sealed.sender)
        self._check_limits(sealed.sender, grant.sid, resume=sealed.body.resume)
        self._admit(grant)
        return sealed.body, sealed, grant

    def _tunnel_to_join(self, offer: Offer, grant: Grant) -> Tunnel:
        """The tunnel a further link is for: of this session, this client, and the one the client means.

        Raises `session_ended`: what streams have sent and received is known nowhere else.
        """
        tunnel = self._tunnels.get(grant.sid)
        if tunnel is None or not tunnel.joinable or tunnel.name is None:
            raise FarsiteError(
                ErrorCode.SESSION_ENDED, "The tunnel is not here any more; open a new session."
            )
        if tunnel.remote != grant.sub or tunnel.name != offer.tunnel:
            raise FarsiteError(ErrorCode.SESSION_ENDED, "The session has another tunnel; open a new session.")
        return tunnel

    def _verify_grant(self, sealed: Sealed, offer: Offer, now: float) -> Grant:
        grant = verify_grant(
            offer.grant, self._grant_key, audience=self._identity.urn, subject=sealed.sender, now=now
        )
        if grant.sid != sealed.session:
            raise FarsiteError(ErrorCode.GRANT_INVALID, "The grant is for another session.")
        if grant.until <= now:
            raise FarsiteError(ErrorCode.GRANT_EXPIRED, "The session is over; open a new one.")
        return grant

    def _check_limits(self, sender: str, session: str, *, resume: bool) -> None:
        if not resume:
            self._check_room(session)
        if (self._joining if resume else self._half_open)[sender] >= self._options.max_half_open:
            raise FarsiteError(
                ErrorCode.RATE_LIMITED, "Too many sessions are being opened at once; try again in a moment."
            )

    def _check_room(self, session: str) -> None:
        standing = len(self._tunnels) - (session in self._tunnels)
        if standing + self._half_open.total() >= self._options.max_sessions and not self._make_room(session):
            raise FarsiteError(
                ErrorCode.UNAVAILABLE,
                f"The edge host has {self._options.max_sessions} sessions open, which is its limit. Close one.",
            )

    def _make_room(self, session: str) -> bool:
        """Give up the tunnel that has waited longest for its client to come back, if one does."""
        waiting = [
            (t.detached_at, s) for s, t in self._tunnels.items() if t.detached_at is not None and s != session
        ]
        if not waiting:
            return False
        tunnel = self._tunnels.pop(min(waiting)[1])
        tunnel.fail(FarsiteError(ErrorCode.UNAVAILABLE, "Its place was needed while its client was away."))
        return True

    async def _refuse(self, envelope: Envelope, session: str, error: FarsiteError) -> None:
        logger.info("session %s of %s refused: %s", session, envelope.sender, error)
        if not isinstance(error, _NoDirectPath):
            self._on_refused(error, envelope.sender, session)
        if error.code is ErrorCode.REPLAYED:
            return  # the client did not ask twice: an answer would end the attempt it made itself
        body = Refusal(code=error.code, detail=error.detail)
        answer = seal(self._identity, body, session, envelope.sender, None, self._options.clock())
        with suppress(FarsiteError, OSError, RuntimeError):
            await self._router.send(answer)

    async def _stand_by(self, opened: _Opened, tunnel: Tunnel) -> None:
        """Keep a further link until the client moves the streams to it, or gives it up."""
        link, grant = opened.link, opened.grant
        standby = Standby(link, lambda channel, label: self._join(opened, tunnel, (channel, label)))
        joined = False
        self._joining[grant.sub] += 1
        try:
            link.start(standby)
            with suppress(TimeoutError):
                async with asyncio.timeout(STANDBY_TIMEOUT):
                    joined = await standby.wait()
        finally:
            _less(self._joining, grant.sub)
            if not joined:
                await link.close()
        if standby.error is not None and not joined:
            logger.info("session %s: the further link came to nothing: %s", grant.sid, standby.error)

    def _join(self, opened: _Opened, tunnel: Tunnel, channel: tuple[int, str]) -> None:
        """Move the tunnel to its new link. What was checked with the offer is checked again. Raises `FarsiteError`."""
        grant = opened.grant
        if self._tunnels.get(grant.sid) is not tunnel:
            raise FarsiteError(ErrorCode.SESSION_ENDED, "The tunnel ended meanwhile.")
        self._announcements.check(grant.sid, grant.sub)
        if grant.until <= self._options.clock():
            raise FarsiteError(ErrorCode.GRANT_EXPIRED, "The session is over; open a new one.")
        self._admit(grant)
        why = "the client found a direct path" if opened.offer.direct else "the client reconnected"
        tunnel.attach(opened.link, why=why, opened=channel)
        tunnel.grant = grant

    async def _serve(self, opened: _Opened) -> None:
        """Run the tunnel until either side ends it or its time is over."""
        from farsite_signaling.peer.tunnel import Tunnel

        grant = opened.grant
        tunnel = Tunnel(
            opened.link,
            session=grant.sid,
            remote=grant.sub,
            initiator=False,
            acceptor=self._acceptor,
            grant=grant,
            resume_timeout=self._options.resume_timeout if opened.offer.tunnel else 0.0,
            name=opened.offer.tunnel,
        )
        async with tunnel:
            await self._replace(grant.sid, tunnel)
            self._on_opened(tunnel)
            error: FarsiteError | None = None
            try:
                error = await self._until_over(tunnel)
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

    async def _until_over(self, tunnel: Tunnel) -> FarsiteError | None:
        assert tunnel.grant is not None
        # Revoked between its offer and now: the message has come when there was no tunnel to close.
        if (ended := self._announcements.ended(tunnel.session)) is not None:
            await tunnel.close(ended.code, ended.detail)
        try:
            while not tunnel.closed:
                # A link that joins brings a grant of its own: what it says of the end holds from then on.
                async with asyncio.timeout(max(0.0, tunnel.grant.until - self._options.clock())):
                    await tunnel.changed()
        except TimeoutError:
            over = FarsiteError(ErrorCode.SESSION_ENDED, "The session's time is over; open a new one.")
            await tunnel.close(over.code, over.detail)
            return over
        return tunnel.error


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
