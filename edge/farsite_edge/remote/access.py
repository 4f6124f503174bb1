"""The edge host's connection to its cloud, and the tunnels that come through it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel

from farsite_edge.audit import AuditLog
from farsite_edge.claim.cloud import cloud_tls
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.events import TunnelEvents
from farsite_edge.remote.held import HeldSessions
from farsite_edge.remote.usage import Usage
from farsite_edge.settings import EdgeSettings
from farsite_edge.version import __version__
from farsite_edge.workers.pool import supported
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.hub import (
    EnvelopeMessage,
    HubMessage,
    ReportAccepted,
    SessionAnnounced,
    SessionEnded,
    Undeliverable,
)
from farsite_signaling.wire.inventory import InventoryAccepted, InventoryWanted, TagsSet
from farsite_signaling.wire.licence import LicenceNotice
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.work import WorkOrder, WorkReportAccepted

if TYPE_CHECKING:
    from farsite_edge.workers.listener import WorkerListener
    from farsite_signaling.peer.listener import TunnelListener
    from farsite_signaling.peer.router import EnvelopeRouter
    from farsite_signaling.peer.signaling import SignalingClient

    Listener = TunnelListener | WorkerListener

MAX_ENDED = 10_000
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

    `on_change` is called when cloud or remote access state change; `on_accepted` with acknowledged reports,
    `on_inventory` and `on_tags` with the cloud's messages about them.
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
        self.on_accepted: Callable[[str], None] = lambda _id: None
        self.on_licence: Callable[[str], Awaitable[None]] = _no_licence
        self.on_order: Callable[[WorkOrder], None] = lambda _order: None
        self.on_work_accepted: Callable[[str], None] = lambda _id: None
        self.on_inventory: Callable[[InventoryAccepted | InventoryWanted], None] = lambda _answer: None
        self.on_tags: Callable[[TagsSet], Awaitable[None]] = _ignore
        self._events = TunnelEvents(audit, usage)
        self._client: SignalingClient | None = None
        self._listener: Listener | None = None
        self._router: Any = None
        self._held: HeldSessions | None = None
        self._restart = asyncio.Event()
        self._changed = asyncio.Event()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._state = RemoteState.OFF
        self._stopping = False
        self._announced = False
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

    def has_ended(self, session: str) -> bool:
        """Whether the cloud said that this session is over."""
        return session in self._ended

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
        self._stopping = True
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
            on_message=self._received,
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
            "admit": self.admit,
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

    async def _received(self, message: HubMessage) -> None:
        match message:
            case EnvelopeMessage() | Undeliverable():
                self._router.receive(message)
            case SessionAnnounced():
                if self._preferences.remote_access and self._listener is not None:
                    self._listener.announced(message)
            case SessionEnded():
                await self._end(message)
            case ReportAccepted():
                self.on_accepted(message.id)
            case WorkOrder():
                self.on_order(message)
            case WorkReportAccepted():
                self.on_work_accepted(message.id)
            case InventoryAccepted() | InventoryWanted():
                self.on_inventory(message)
            case LicenceNotice():
                await self._licensed(message)
            case TagsSet():
                await self._tagged(message)
            case _:
                logger.debug("from the hub: %s", message.type)

    async def _licensed(self, message: LicenceNotice) -> None:
        try:
            await self.on_licence(message.statement)
        except FarsiteError as error:
            logger.warning("licence statement refused: %s", error)

    async def _tagged(self, message: TagsSet) -> None:
        try:
            await self.on_tags(message)
        except FarsiteError as error:
            # The cloud sends them again until they are settled.
            logger.warning("tags of the cloud not kept: %s", error)

    async def _end(self, message: SessionEnded) -> None:
        self._ended[message.session] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        if self._listener is not None:
            await self._listener.ended(message)

    # Who may come in

    def admit(self, grant: Grant) -> None:
        """Raises `remote_access_off`, `forbidden`, `session_ended`, `unavailable`."""
        if self._stopping:
            raise FarsiteError(ErrorCode.UNAVAILABLE, "The edge host is shutting down.", retry_after=10)
        if not self._preferences.remote_access:
            raise FarsiteError(
                ErrorCode.REMOTE_ACCESS_OFF,
                "Remote access to this edge host is switched off. Switch it on on its site: Settings > Edge host "
                "connections, or 'farsite edge settings --remote-access on'.",
            )
        if not grant.allows(Right.REMOTE_ACCESS):
            raise FarsiteError(
                ErrorCode.FORBIDDEN, "This session may not use remote access.", right=Right.REMOTE_ACCESS
            )
        if self.has_ended(grant.sid):
            raise FarsiteError(ErrorCode.SESSION_ENDED, "The cloud ended this session. Open a new one.")

    async def _follow_preferences(self) -> None:
        while True:
            self._changed.clear()
            self._moved()
            if not self._preferences.remote_access:
                self._announced = False
                await self._close_all(ErrorCode.REMOTE_ACCESS_OFF, "Remote access was switched off.")
            elif self._state is RemoteState.ACTIVE:
                await self._announce_active()
            await self._changed.wait()

    async def _announce_active(self) -> None:
        """The notice of the manual: once after switching on, not after every reconnection."""
        if self._announced:
            return
        self._announced = True
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
        return self._listener.sessions if self._listener is not None else []

    def _tunnels(self) -> list[Any]:
        return list(self._listener.tunnels) if self._listener is not None else []


async def _no_licence(_statement: str) -> None:
    pass


async def _ignore(_message: TagsSet) -> None:
    pass


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
