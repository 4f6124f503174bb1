"""The client's side: open a tunnel to an edge host with a session ticket, and further links for it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from farsite_signaling.identity import Identity, OrganizationTrust
from farsite_signaling.peer.envelopes import ReplayCache
from farsite_signaling.peer.negotiation import Negotiation, Purpose
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.peer.talk import SealedTalk
from farsite_signaling.peer.tickets import TicketHolder
from farsite_signaling.wire.cloud_api import SessionTicket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

if TYPE_CHECKING:
    from farsite_signaling.peer.tunnel import Tunnel

GIVE_UP_TIMEOUT = 0.5

Use = Callable[[RtcLink], Awaitable[None]]


class Redial(Protocol):
    """How a client gets back to the cloud when it needs another link."""

    def signaling(self) -> AbstractAsyncContextManager[EnvelopeRouter]:
        """A router on a connection to the hub that is online. Raises `FarsiteError`."""

    async def renew(self) -> SessionTicket | None:
        """A fresh ticket of the same session; None when there is no way to get one. Raises `FarsiteError`."""


class RouterRedial:
    """By a router that stays; links can be opened as long as the first ticket is good."""

    def __init__(self, router: EnvelopeRouter) -> None:
        self._router = router

    @asynccontextmanager
    async def signaling(self) -> AsyncIterator[EnvelopeRouter]:
        yield self._router

    async def renew(self) -> SessionTicket | None:
        return None


async def open_tunnel(
    ticket: SessionTicket,
    *,
    identity: Identity,
    trust: OrganizationTrust,
    router: EnvelopeRouter,
    options: PeerOptions,
    redial: Redial | None = None,
) -> Tunnel:
    """A tunnel whose link stands; the caller enters it with `async with`.

    While entered it finds itself another link, by `redial` or else by `router`, when it loses its link or when there
    is a path without a relay. Raises `FarsiteError`: what the hub or the edge host refused with (`edge_offline`,
    `remote_access_off`, `grant_…`, `clock_skew` …), `peer_timeout` when the edge host does not answer,
    `peer_unreachable` saying what was tried, `turn_unavailable`, `proxy_authentication`, `proxy_unreachable`, or how
    verification failed.
    """
    from farsite_signaling.peer.linkkeeper import LinkKeeper
    from farsite_signaling.peer.tunnel import Tunnel

    dialer = Dialer(
        ticket, identity=identity, trust=trust, options=options, redial=redial or RouterRedial(router)
    )
    link = await dialer.first(router)
    return Tunnel(
        link,
        session=ticket.session,
        remote=ticket.edge,
        initiator=True,
        resume_timeout=options.resume_timeout,
        keeper=LinkKeeper(dialer, options) if options.resume_timeout > 0 else None,
        name=dialer.tunnel,
    )


class Dialer:
    """Opens the links of one tunnel."""

    def __init__(
        self,
        ticket: SessionTicket,
        *,
        identity: Identity,
        trust: OrganizationTrust,
        options: PeerOptions,
        redial: Redial,
    ) -> None:
        self.tunnel = secrets.token_urlsafe(18)
        self.tickets = TicketHolder(ticket, redial.renew, options.clock)
        self._identity = identity
        self._trust = trust
        self._options = options
        self._redial = redial

    async def first(self, router: EnvelopeRouter) -> RtcLink:
        return await self._open(router, Purpose(self.tunnel), self._racing())

    async def another(self, use: Use) -> None:
        """Open a link for the running tunnel and hand it over while signaling is still there.

        The link is closed when `use` raises. Raises as `open_tunnel` does.
        """
        await self._dial(use, Purpose(self.tunnel, resume=True), self._racing())

    async def direct(self, use: Use) -> None:
        """As `another`, without relays."""
        options = replace(self._options, direct_only=True, open_timeout=self._options.direct_timeout)
        await self._dial(use, Purpose(self.tunnel, resume=True, direct=True), options)

    def _racing(self) -> PeerOptions:
        """A relay that answers first is settled for quickly where streams can move later."""
        if self._options.resume_timeout <= 0:
            return self._options
        return replace(self._options, relay_hold=self._options.early_relay_hold)

    async def _dial(self, use: Use, purpose: Purpose, options: PeerOptions) -> None:
        await self.tickets.freshen()
        async with self._redial.signaling() as router:
            try:
                link = await self._open(router, purpose, options)
            except FarsiteError as error:
                if error.code is ErrorCode.GRANT_EXPIRED:
                    self.tickets.expire()
                raise
            try:
                await use(link)
            except BaseException:
                await link.close()
                raise

    async def _open(self, router: EnvelopeRouter, purpose: Purpose, options: PeerOptions) -> RtcLink:
        return await open_link(
            self.tickets.current,
            identity=self._identity,
            trust=self._trust,
            router=router,
            options=options,
            purpose=purpose,
        )


async def open_link(
    ticket: SessionTicket,
    *,
    identity: Identity,
    trust: OrganizationTrust,
    router: EnvelopeRouter,
    options: PeerOptions,
    purpose: Purpose | None = None,
) -> RtcLink:
    """As `open_tunnel`, without the streams."""
    talk = SealedTalk(
        router.conversation(ticket.session),
        identity=identity,
        trust=trust,
        remote=ticket.edge,
        replays=ReplayCache(),
        clock=options.clock,
    )
    negotiation = Negotiation(talk, servers=ticket.ice_servers, options=options, purpose=purpose)
    async with negotiation:
        try:
            async with asyncio.timeout(options.open_timeout):
                await negotiation.offer(ticket.grant)
                return await negotiation.connected()
        except TimeoutError:
            error = _too_late(negotiation, options.open_timeout)
        except FarsiteError as failure:
            error = failure
        except asyncio.CancelledError:
            await _given_up(negotiation)
            raise
        await negotiation.abandon(error)
        raise error


async def _given_up(negotiation: Negotiation) -> None:
    """The edge host lets a client open a few links at a time: it should not wait for one nobody wants."""
    if negotiation.offered:
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_TIMEOUT):
                await negotiation.abandon(FarsiteError(ErrorCode.CLOSED, "The client gave up."))


def _too_late(negotiation: Negotiation, seconds: float) -> FarsiteError:
    if not negotiation.answered:
        return FarsiteError(
            ErrorCode.PEER_TIMEOUT,
            f"The edge host did not answer within {seconds:.0f} s. It may have just lost its connection to the "
            "cloud: try again.",
        )
    return negotiation.link.unreachable(f"No way to the edge host was found within {seconds:.0f} s.")
