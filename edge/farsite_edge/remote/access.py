"""The edge host's connection to its cloud, and the tunnels that come through it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel

from farsite_edge.audit import AuditLog
from farsite_edge.claim.cloud import cloud_tls
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.admission import Admission
from farsite_edge.remote.events import TunnelEvents
from farsite_edge.remote.held import HeldSessions
from farsite_edge.remote.inbox import Inbox
from farsite_edge.remote.usage import Usage
from farsite_edge.settings import EdgeSettings
from farsite_edge.version import __version__
from farsite_edge.workers.pool import supported
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import EnvelopeMessage, SessionAnnounced, SessionEnded, Undeliverable

if TYPE_CHECKING:
    from farsite_edge.workers.listener import WorkerListener
    from farsite_signaling.peer.listener import TunnelListener
    from farsite_signaling.peer.router import EnvelopeRouter
    from farsite_signaling.peer.signaling import SignalingClient

    Listener = TunnelListener | WorkerListener

TUNNELS = "tunnels"
"""Folder of what the processes of sessions write; the rest of the data folder is closed to them."""
logger = logging.getLogger(__name__)


class RemoteState(StrEnum):
    """`active`: switched on and connected, so that sessions can be opened."""

    OFF = "off"
    CONNECTING = "connecting"
    ACTIVE = "active"


class RemoteAccess:
    """`run()` stays connected while claimed, with remote access off too: then it only reports.

    `on_change` is called when cloud or remote access state change; what else the cloud says goes to those who
    listen at `inbox`.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        keeper: IdentityKeeper,
        preferences: Preferences,
        audit: AuditLog,
        *,
        acceptor: EdgeAcceptor,
        usage: Usage | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._preferences = preferences
        self._audit = audit
        self._acceptor = acceptor
        self._on_change = on_change
        self.inbox = self._make_inbox()
        self.admission = Admission(preferences)
        self._events = TunnelEvents(audit, usage)
        self._client: SignalingClient | None = None
        self._listener: Listener | None = None
        self._router: Any = None
        self._held: HeldSessions | None = None
        self._restart = asyncio.Event()
        self._changed = asyncio.Event()
        self._state = RemoteState.OFF
        self._noticed = False
        self._stale = False

    # What others see

    @property
    def state(self) -> RemoteState:
        return self._state

    @property
    def cloud_state(self) -> str:
        """`online`, `connecting`, `offline`."""
        state = str(self._client.state) if self._client is not None else "offline"
        return state if state in ("online", "connecting") else "offline"

    @property
    def cloud_detail(self) -> str:
        """Why it is not online, or what else the administrator should know."""
        if self._keeper.claim is None:
            return "Not claimed yet: claim this edge host with a setup code."
        error = self._client.last_error if self._client is not None else None
        if error is not None:
            return error.detail
        return "Remote access is active." if self._state is RemoteState.ACTIVE else ""

    @property
    def sessions(self) -> int:
        return len(self._tunnels())

    def newest_path(self) -> str:
        """Of the tunnel opened last; empty without one."""
        tunnels = self._tunnels()
        return str(tunnels[-1].status().path) if tunnels else ""

    @property
    def online(self) -> bool:
        """Whether something can be sent now."""
        return self._client is not None and str(self._client.state) == "online"

    async def send(self, message: BaseModel) -> None:
        """Raises `FarsiteError` (`cloud_unreachable`) when not online."""
        if self._client is None:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, "Not connected to the cloud right now.")
        await self._client.send(message)

    # What others ask for

    def claimed(self) -> None:
        """Connect anew: the edge host was claimed, or uses another proxy now."""
        self._restart.set()

    def renewed(self) -> None:
        """Use the new certificate as soon as no tunnel stands: the old one is good for weeks."""
        self._stale = True
        self._restart_if_idle()

    def _restart_if_idle(self) -> None:
        if self._stale and not self._tunnels():
            self._restart.set()

    def _tunnel_closed(self, tunnel: Any, error: FarsiteError | None) -> None:
        self._events.closed(tunnel, error)
        self._restart_if_idle()

    def preferences_changed(self) -> None:
        self._changed.set()

    # Life

    async def run(self) -> None:
        """One connection's life; the supervisor starts the next."""
        self._restart.clear()
        if self._keeper.claim is None:
            await self._restart.wait()
            return
        await self._connect()

    async def stop(self, patience: float) -> None:
        """Refuse new tunnels and let streams end by themselves for `patience` seconds."""
        self.admission.closed = True
        deadline = time.monotonic() + patience
        # Streams of any tunnel, of any kind: there is no one event to wait for.
        while await self._busy() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await self._close_all(ErrorCode.CLOSED, "The edge host is shutting down.")

    async def _connect(self) -> None:
        # In a thread: importing takes longer than the loop may be kept from its other work.
        await asyncio.to_thread(_preload, own_processes=self._own_processes)
        from farsite_signaling.peer.router import EnvelopeRouter
        from farsite_signaling.peer.signaling import SignalingClient

        assert self._keeper.claim is not None
        self._stale = False
        url = _websocket(self._keeper.claim.hub_url)
        proxy = await self._preferences.proxy_address()
        client = SignalingClient(
            url,
            self._keeper.identity,
            agent=f"farsite-edge/{__version__}",
            on_message=self.inbox.receive,
            on_state=lambda _state, _error: self._moved(),
            proxy=proxy,
            ssl_context=cloud_tls(self._settings.cloud_ca) if url.startswith("wss:") else None,
        )
        self._router = EnvelopeRouter(client.send)
        listener = self._make_listener(self._router, self._options(proxy))
        self._client, self._listener = client, listener
        self._held = held = HeldSessions(self._session_ids, client.send)
        try:
            async with listener, client:
                await self._attend(held)
        finally:
            self._client = self._listener = self._router = self._held = None
            await self._events.drain()
            self._moved()

    @property
    def _own_processes(self) -> bool:
        return self._settings.tunnel_workers == "auto" and supported()

    def _make_listener(self, router: EnvelopeRouter, options: PeerOptions) -> Listener:
        keeper = self._keeper
        parts: dict[str, Any] = {
            "identity": keeper.identity,
            "trust": keeper.trust,
            "grant_key": keeper.grant_key,
            "acceptor": self._acceptor,
            "admit": self.admission.admit,
            "options": options,
            "router": router,
            "on_opened": self._events.opened,
            "on_closed": self._tunnel_closed,
            "on_refused": self._events.refused,
        }
        if not self._own_processes:
            from farsite_signaling.peer.listener import TunnelListener

            return TunnelListener(**parts)
        from farsite_edge.workers.listener import WorkerListener
        from farsite_edge.workers.session import WorkerLimits

        (self._settings.data_dir / TUNNELS).mkdir(mode=0o700, exist_ok=True)
        memory = self._settings.tunnel_memory * 1024 * 1024
        return WorkerListener(**parts, limits=WorkerLimits(memory=memory))

    async def _attend(self, held: HeldSessions) -> None:
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._events.run(), name="tunnel events"),
                group.create_task(self._follow_preferences(), name="remote access switch"),
                group.create_task(held.run(), name="sessions held"),
            ]
            await self._restart.wait()
            for task in helpers:
                task.cancel()

    def _options(self, proxy: str | None) -> PeerOptions:
        from farsite_signaling.peer.options import PeerOptions

        turn_ca = self._settings.turn_ca
        return PeerOptions(
            proxy=proxy,
            turn_ca=str(turn_ca) if turn_ca else None,
            loopback=self._settings.offer_loopback,
            network_memory=str(self._settings.data_dir / TUNNELS / "networks.json"),
            resume_timeout=self._settings.resume_timeout,
            max_sessions=self._settings.tunnel_limit,
        )

    def _make_inbox(self) -> Inbox:
        inbox = Inbox()
        inbox.listen(EnvelopeMessage, self._route)
        inbox.listen(Undeliverable, self._route)
        inbox.listen(SessionAnnounced, self._announced)
        inbox.listen(SessionEnded, self._end)
        return inbox

    def _route(self, message: EnvelopeMessage | Undeliverable) -> None:
        self._router.receive(message)

    def _announced(self, message: SessionAnnounced) -> None:
        if self._preferences.remote_access and self._listener is not None:
            self._listener.announced(message)

    async def _end(self, message: SessionEnded) -> None:
        self.admission.end(message.session)
        if self._listener is not None:
            await self._listener.ended(message)

    async def _follow_preferences(self) -> None:
        while True:
            self._changed.clear()
            self._moved()
            if not self._preferences.remote_access:
                self._noticed = False
                await self._close_all(ErrorCode.REMOTE_ACCESS_OFF, "Remote access was switched off.")
            elif self._state is RemoteState.ACTIVE:
                await self._announce_active()
            await self._changed.wait()

    async def _announce_active(self) -> None:
        """The notice of the manual: once after switching on, not after every reconnection."""
        if self._noticed:
            return
        self._noticed = True
        logger.info("remote access is active")
        await self._audit.note("remote_access.active", actor="edge")

    def _moved(self) -> None:
        """The one place that sets the state."""
        online = self.online
        wanted = self._preferences.remote_access and self._keeper.claim is not None
        state = RemoteState.OFF if not wanted else RemoteState.ACTIVE if online else RemoteState.CONNECTING
        if online and self._held is not None:
            self._held.connected()
        if state is RemoteState.ACTIVE and self._listener is not None:
            self._listener.prepare()
        if state is not self._state:
            logger.info("remote access %s -> %s", self._state, state)
            self._state = state
            self._changed.set()
        self._on_change()

    # Ending tunnels

    async def _close_all(self, code: ErrorCode, detail: str) -> None:
        async with asyncio.TaskGroup() as group:
            for tunnel in self._tunnels():
                group.create_task(tunnel.close(code, detail), name="tunnel close")

    async def _busy(self) -> bool:
        return self._listener is not None and await self._listener.busy()

    def _session_ids(self) -> list[str]:
        tunnels = self._listener.sessions if self._listener is not None else []
        return list(dict.fromkeys([*tunnels, *self.admission.on_lan(time.time())]))

    def _tunnels(self) -> list[Any]:
        return list(self._listener.tunnels) if self._listener is not None else []


def _preload(*, own_processes: bool) -> None:
    import farsite_signaling.peer.signaling

    if own_processes:
        import farsite_edge.workers.listener  # noqa: F401  # the WebRTC stack is loaded in those processes

        return
    import farsite_signaling.peer.listener  # noqa: F401
    from farsite_signaling.peer.rtc import preload

    preload()


def _websocket(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit(parts._replace(scheme=scheme))
