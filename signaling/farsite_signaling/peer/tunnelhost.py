"""Answers offers that were verified, and runs their tunnels: in the edge host's process or in one of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farsite_signaling.peer.gate import VerifiedOffer, tunnel_to_join
from farsite_signaling.peer.negotiation import Negotiation, Purpose
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.proof import Standby
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.peer.talk import Talk
from farsite_signaling.wire.envelope import Offer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant

if TYPE_CHECKING:
    from farsite_signaling.peer.streams import StreamAcceptor
    from farsite_signaling.peer.tunnel import Tunnel

logger = logging.getLogger(__name__)

STANDBY_TIMEOUT = 30.0
"""How long a link may stand beside the one in use until streams come over it, seconds."""

Check = Callable[[Grant], None]
OnOpened = Callable[["Tunnel"], None]
OnClosed = Callable[["Tunnel", FarsiteError | None], None]
OnJoined = Callable[["Opened"], None]


@dataclass(frozen=True)
class Opened:
    """A link that stands; `joins`: the tunnel it is a further link for."""

    link: RtcLink
    grant: Grant
    offer: Offer
    joins: Tunnel | None


class TunnelHost:
    """`check` raises when a session may not go on, and is asked before streams come over a link.

    Callbacks must not raise.
    """

    def __init__(
        self,
        *,
        acceptor: StreamAcceptor,
        options: PeerOptions,
        check: Check,
        on_opened: OnOpened = lambda tunnel: None,
        on_closed: OnClosed = lambda tunnel, error: None,
        on_joined: OnJoined = lambda opened: None,
    ) -> None:
        self.tunnels: dict[str, Tunnel] = {}
        """Those that stand, by session."""
        self._acceptor = acceptor
        self._options = options
        self._check = check
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._on_joined = on_joined
        self._opening: dict[Negotiation, str] = {}

    def doubt(self, gone: frozenset[str]) -> None:
        """The network changed; `gone`: addresses that are not ours any more."""
        for tunnel in list(self.tunnels.values()):
            tunnel.doubt(gone)

    async def end(self, session: str, error: FarsiteError) -> None:
        for negotiation, opening in self._opening.items():
            if opening == session:
                negotiation.link.fail(error)
        if (tunnel := self.tunnels.get(session)) is not None:
            await tunnel.close(error.code, error.detail)

    async def open(self, verified: VerifiedOffer, talk: Talk) -> Opened:
        """The standing link. Raises `FarsiteError`."""
        offer, grant = verified.offer, verified.grant
        joins = tunnel_to_join(self.tunnels, verified) if offer.resume else None
        negotiation = Negotiation(
            talk,
            servers=verified.servers,
            options=replace(self._options, direct_only=True) if offer.direct else self._options,
            purpose=Purpose(offer.tunnel, offer.resume, offer.direct),
        )
        try:
            async with negotiation:
                self._opening[negotiation] = grant.sid
                await negotiation.answer(offer, verified.fingerprint, verified.version)
                return Opened(await negotiation.connected(), grant, offer, joins)
        finally:
            self._opening.pop(negotiation, None)

    async def run(self, opened: Opened) -> None:
        """The tunnel, until it is closed; or a further link, until it is taken or given up."""
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

    async def _stand_by(self, opened: Opened, tunnel: Tunnel) -> None:
        """Keep a further link until the client moves the streams to it, or gives it up."""
        link = opened.link
        standby = Standby(link, lambda channel, label: self._join(opened, tunnel, (channel, label)))
        joined = False
        try:
            link.start(standby)
            with suppress(TimeoutError):
                async with asyncio.timeout(STANDBY_TIMEOUT):
                    joined = await standby.wait()
        finally:
            if not joined:
                await link.close()
        if standby.error is not None and not joined:
            logger.info("session %s: the further link came to nothing: %s", tunnel.session, standby.error)

    def _join(self, opened: Opened, tunnel: Tunnel, channel: tuple[int, str]) -> None:
        """Move the tunnel to its new link. What was checked with the offer is checked again. Raises `FarsiteError`."""
        if self.tunnels.get(opened.grant.sid) is not tunnel:
            raise FarsiteError(ErrorCode.SESSION_ENDED, "The tunnel ended meanwhile.")
        self._check(opened.grant)
        why = "the client found a direct path" if opened.offer.direct else "the client reconnected"
        tunnel.attach(opened.link, why=why, opened=channel)
        tunnel.grant = opened.grant
        self._on_joined(opened)

    async def _serve(self, opened: Opened) -> None:
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
                if self.tunnels.get(grant.sid) is tunnel:
                    del self.tunnels[grant.sid]
                self._on_closed(tunnel, error)

    async def _replace(self, session: str, tunnel: Tunnel) -> None:
        """A session has one tunnel: the newer one, which its client opened because the older broke."""
        older = self.tunnels.pop(session, None)
        self.tunnels[session] = tunnel
        if older is not None:
            await older.close(ErrorCode.REPLACED, "The client opened this session anew.")

    async def _until_over(self, tunnel: Tunnel) -> FarsiteError | None:
        assert tunnel.grant is not None
        try:
            self._check(tunnel.grant)
        except FarsiteError as error:
            # Revoked between its offer and now: the message has come when there was no tunnel to close.
            await tunnel.close(error.code, error.detail)
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
