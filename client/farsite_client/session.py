"""`RemoteSession`: one tunnel to one edge host, from the stored sign-in.

async with connect(Profile(home), "Warehouse") as session:
    print(session.status().path, await session.edge.status())
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from farsite_client.cloud import CloudClient, clock_problem, tls_context
from farsite_client.connector import TunnelConnector
from farsite_client.edge import EdgeClient
from farsite_client.edge_hosts import find_edge
from farsite_client.exclusive import exclusive
from farsite_client.profile import Profile, Stored
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.cloud_api import EdgeHost, SessionTicket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable
from farsite_signaling.wire.path import TunnelStatus
from farsite_signaling.wire.stream import ApiTarget, DeviceTarget, Priority, Service

if TYPE_CHECKING:
    from farsite_signaling.peer.router import EnvelopeRouter

OPEN_TIMEOUT = 30.0
SIGNALING_TIMEOUT = 15.0
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=120)


class RemoteSession:
    """A live session. `edge` is the edge host's API; closing is the context manager's work."""

    def __init__(self, tunnel: Tunnel, edge_host: EdgeHost, edge: EdgeClient) -> None:
        self.tunnel = tunnel
        self.edge_host = edge_host
        self.edge = edge

    def status(self) -> TunnelStatus:
        return self.tunnel.status()

    async def open_device(
        self, device: str, service: Service = "http", *, priority: Priority = Priority.INTERACTIVE
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A byte stream to a managed device's web server, or to its RTSP server."""
        target = DeviceTarget(device=device, service=service)
        return await self.tunnel.open_stream(target, priority=priority)

    async def wait_closed(self) -> FarsiteError | None:
        return await self.tunnel.wait_closed()

    async def end(self) -> None:
        """Close now, on both sides."""
        await self.tunnel.close()


@asynccontextmanager
async def over_tunnel(tunnel: Tunnel, edge_host: EdgeHost) -> AsyncIterator[RemoteSession]:
    """A session over a tunnel that is already running."""
    api = ApiTarget()
    async with (
        aiohttp.ClientSession(connector=TunnelConnector(tunnel, api), timeout=_TIMEOUT) as session,
        aiohttp.ClientSession(
            connector=TunnelConnector(tunnel, api, priority=Priority.BULK), timeout=_TIMEOUT
        ) as bulk,
    ):
        yield RemoteSession(tunnel, edge_host, EdgeClient(session, name=edge_host.name, bulk=bulk))


@dataclass
class _Wiring:
    """Hands envelopes to the router, which needs the signaling client first."""

    router: Any = None

    async def on_message(self, message: Any) -> None:
        if isinstance(message, EnvelopeMessage | Undeliverable) and self.router is not None:
            self.router.receive(message)


@asynccontextmanager
async def connect(
    profile: Profile, edge: str, *, timeout: float = OPEN_TIMEOUT
) -> AsyncIterator[RemoteSession]:
    """Open a session with the edge host of this name or id.

    Raises `FarsiteError`: `unauthenticated`, `cloud_unreachable`, `not_found`, `edge_offline`, `remote_access_off`,
    `clock_skew`, `peer_unreachable`, … with what to do about it.
    """
    async with profile.cloud() as cloud:
        stored = await profile.renewed(cloud)
        edge_host = await find_edge(cloud, stored.organization_id, edge)
        async with _open(profile, stored, cloud, edge_host, timeout) as session:
            yield session


@asynccontextmanager
async def _open(
    profile: Profile, stored: Stored, cloud: CloudClient, edge_host: EdgeHost, timeout: float
) -> AsyncIterator[RemoteSession]:
    ticket = await cloud.session(stored.organization_id, edge_host.id, stored.name)
    _check_clock(ticket)
    hub = _Hub(profile, stored, cloud, ticket.session)
    async with _ending(cloud, stored, ticket):
        tunnel = await _dial(hub, ticket, edge_host.name, timeout)
        async with tunnel, over_tunnel(tunnel, edge_host) as session:
            yield session


class _Hub:
    """The way to the hub, taken whenever the tunnel needs a link. Implements `peer.dialer.Redial`.

    The hub keeps one connection per name, the newest. Were it kept beyond this, two commands on one machine would
    push one another out for ever; the edge host is told of a session's end by itself, and closes the tunnel.
    """

    def __init__(self, profile: Profile, stored: Stored, cloud: CloudClient, session: str) -> None:
        self.profile = profile
        self.identity = profile.identity()
        self.proxy = profile.proxy or stored.proxy
        self.ca_file = profile.ca_file or stored.ca_file
        self._stored = stored
        self._cloud = cloud
        self._session = session

    @asynccontextmanager
    async def signaling(self) -> AsyncIterator[EnvelopeRouter]:
        from farsite_signaling.peer.router import EnvelopeRouter
        from farsite_signaling.peer.signaling import SignalingClient

        wiring = _Wiring()
        client = SignalingClient(
            self._stored.hub_url,
            self.identity,
            agent=f"farsite-client/{version('farsite')}",
            on_message=wiring.on_message,
            proxy=self.proxy,
            ssl_context=_hub_tls(self._stored, self.profile),
        )
        wiring.router = EnvelopeRouter(client.send)
        async with exclusive(self.profile.runtime / "signaling.lock"), client:
            await client.wait_online(SIGNALING_TIMEOUT)
            yield wiring.router

    async def renew(self) -> SessionTicket:
        return await self._cloud.renew_session(self._stored.organization_id, self._session)


async def _dial(hub: _Hub, ticket: SessionTicket, name: str, timeout: float) -> Tunnel:
    """A tunnel that is not entered yet."""
    from farsite_signaling.peer.dialer import open_tunnel

    try:
        async with hub.signaling() as router, asyncio.timeout(timeout):
            return await open_tunnel(
                ticket,
                identity=hub.identity,
                trust=hub.profile.trust(),
                router=router,
                options=peer_options(hub.proxy, hub.ca_file, hub.profile.networks),
                redial=hub,
            )
    except TimeoutError:
        raise FarsiteError(
            ErrorCode.PEER_TIMEOUT, f"No way to {name} opened within {timeout:.0f} s."
        ) from None


@asynccontextmanager
async def _ending(cloud: CloudClient, stored: Stored, ticket: SessionTicket) -> AsyncIterator[None]:
    """Tell the cloud afterwards; that it cannot be told does not matter, sessions expire."""
    try:
        yield
    finally:
        with suppress(FarsiteError, TimeoutError):
            async with asyncio.timeout(3):
                await cloud.end_session(stored.organization_id, ticket.session)


def _hub_tls(stored: Stored, profile: Profile) -> ssl.SSLContext | None:
    if not stored.hub_url.startswith("wss:"):
        return None
    return tls_context(profile.ca_file or stored.ca_file)


def _check_clock(ticket: SessionTicket) -> None:
    # Said here in so many words; otherwise both ends would refuse one another's envelopes.
    if problem := clock_problem(ticket.server_time.timestamp() - time.time()):
        raise problem


def peer_options(proxy: str | None, ca_file: str | None = None, networks: Path | None = None) -> Any:
    from farsite_signaling.peer.options import PeerOptions

    return PeerOptions(
        proxy=proxy, turn_ca=ca_file, network_memory=None if networks is None else str(networks)
    )
