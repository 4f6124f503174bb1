"""The edge host's side: verifies who offers a session and with which grant, answers, and keeps the tunnels."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from farsite_signaling.identity import Identity, OrganizationTrust
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.peer.gate import Admit, OfferGate
from farsite_signaling.peer.network import NetworkHint, NetworkMonitor
from farsite_signaling.peer.offerdesk import OfferDesk, OnRefused
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.places import Places
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.tunnelhost import OnClosed, OnOpened, TunnelHost
from farsite_signaling.wire.errors import FarsiteError, parse_code
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded

if TYPE_CHECKING:
    from farsite_signaling.peer.streams import StreamAcceptor
    from farsite_signaling.peer.tunnel import Tunnel


class TunnelListener:
    """Its tunnels run in this process.

    `admit` raises `FarsiteError` to refuse. Callbacks must not raise; `on_refused(error, sender's URN, session)`.
    """

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
        self._gate = OfferGate(
            identity=identity, trust=trust, grant_key=grant_key, admit=admit, clock=options.clock
        )
        self._host = TunnelHost(
            acceptor=acceptor,
            options=options,
            check=self._gate.check,
            on_opened=on_opened,
            on_closed=on_closed,
        )
        places = Places(self._host.tunnels, most=options.max_sessions, most_opening=options.max_half_open)
        self._desk = OfferDesk(router, self._gate, places, self._host, options, on_refused=on_refused)
        self._monitor = NetworkMonitor(self._network_changed)
        self._group = asyncio.TaskGroup()
        self._watching: asyncio.Task[None] | None = None

    @property
    def tunnels(self) -> list[Tunnel]:
        """Those that stand."""
        return list(self._host.tunnels.values())

    @property
    def sessions(self) -> list[str]:
        """Those that have a tunnel."""
        return list(self._host.tunnels)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        await self._desk.__aenter__()
        self._watching = self._group.create_task(self._monitor.run(), name="listener:network")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._desk.__aexit__(None, None, None)
        finally:
            if self._watching is not None:
                self._watching.cancel()
            await self._group.__aexit__(kind, error, trace)

    async def busy(self) -> bool:
        """Whether streams are open."""
        return any(tunnel.status().streams for tunnel in self.tunnels)

    def prepare(self) -> None:
        """Sessions can come from now on; here nothing needs to be made ready."""

    def announced(self, message: SessionAnnounced) -> None:
        """The cloud granted a client a session: its offer follows."""
        self._gate.announcements.add(message)

    async def ended(self, message: SessionEnded) -> None:
        """The cloud took a session back: its tunnel closes, and its offer is refused from now on."""
        error = FarsiteError(parse_code(message.code), message.detail or "The session was ended.")
        self._gate.announcements.end(message.session, error)
        await self._host.end(message.session, error)

    def _network_changed(self, hint: NetworkHint) -> None:
        self._host.doubt(hint.gone)
