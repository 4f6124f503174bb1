"""A client whose connections to cloud and hub stand, opening one edge host again and again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from farsite_client.cloud import CloudClient, tls_context
from farsite_client.edge_hosts import find_edge
from farsite_client.profile import Profile
from farsite_client.session import peer_options
from farsite_signaling.peer.dialer import open_tunnel
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.signaling import SignalingClient
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable
from farsite_signaling.wire.stream import ApiTarget

ONLINE_SECONDS = 30.0


class Reach:
    def __init__(self, profile: Profile, cloud: CloudClient, router: EnvelopeRouter, edge: str) -> None:
        stored = profile.load()
        self._profile = profile
        self._stored = stored
        self._cloud = cloud
        self._router = router
        self._edge = edge
        ca_file = profile.ca_file or stored.ca_file
        self._options = peer_options(profile.proxy or stored.proxy, ca_file, profile.networks)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Tunnel, dict[str, float]]]:
        """A tunnel with a stream that is open; and milliseconds, from the wish, to ticket, link and open stream."""
        begin = time.monotonic()
        ticket = await self._cloud.session(self._stored.organization_id, self._edge, self._stored.name)
        granted = time.monotonic()
        tunnel = await open_tunnel(
            ticket,
            identity=self._profile.identity(),
            trust=self._profile.trust(),
            router=self._router,
            options=self._options,
        )
        linked = time.monotonic()
        async with tunnel:
            _, writer = await tunnel.open_stream(ApiTarget())
            times = {"ticket_ms": granted, "link_ms": linked, "open_ms": time.monotonic()}
            yield tunnel, {name: round((at - begin) * 1000, 1) for name, at in times.items()}
            writer.close()
        await self._cloud.end_session(self._stored.organization_id, ticket.session)

    async def once(self) -> dict[str, Any]:
        async with self.opened() as (tunnel, times):
            return {"path": str(tunnel.path)} | times


@asynccontextmanager
async def reaching(profile: Profile, edge: str) -> AsyncIterator[Reach]:
    stored = profile.load()
    async with profile.cloud(stored) as cloud:
        edge_host = await find_edge(cloud, stored.organization_id, edge)
        routers: list[EnvelopeRouter] = []

        async def receive(message: Any) -> None:
            if isinstance(message, EnvelopeMessage | Undeliverable):
                routers[0].receive(message)

        tls = tls_context(profile.ca_file or stored.ca_file) if stored.hub_url.startswith("wss:") else None
        client = SignalingClient(
            stored.hub_url,
            profile.identity(),
            agent="lab",
            on_message=receive,
            proxy=profile.proxy or stored.proxy,
            ssl_context=tls,
        )
        routers.append(EnvelopeRouter(client.send))
        async with client:
            await client.wait_online(ONLINE_SECONDS)
            yield Reach(profile, cloud, routers[0], edge_host.id)
