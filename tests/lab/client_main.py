"""A remote client inside a namespace: commands as JSON lines on standard input, one JSON line for each answer."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from farsite_client.cloud import CloudClient, tls_context
from farsite_client.profile import Profile
from farsite_client.session import connect, find_edge, peer_options
from farsite_signaling.peer.dialer import open_tunnel
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.rtc import preload
from farsite_signaling.peer.signaling import SignalingClient
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable
from farsite_signaling.wire.stream import ApiTarget

SETTLE = 12.0


async def sign_in(profile: Profile, *, url: str, email: str, password: str) -> dict[str, Any]:
    async with CloudClient(url, proxy=profile.proxy, ca_file=profile.ca_file) as cloud:
        signed_in = await cloud.sign_in(email, password)
        [organization] = await cloud.organizations()
        await profile.enrol(cloud, signed_in, organization, None)
    return {"organization": organization.id}


async def setup_code(profile: Profile, *, name: str) -> dict[str, Any]:
    stored = profile.load()
    async with profile.cloud(stored) as cloud:
        return {"code": (await cloud.setup_code(stored.organization_id, name)).code}


async def open_session(profile: Profile, *, edge: str, settle: str = "") -> dict[str, Any]:
    """Open, and have one request answered through the tunnel; times in milliseconds from the wish to each.

    With `settle` a relay that opened first may still give way to a direct path, for `SETTLE` seconds.
    """
    started = time.monotonic()
    async with connect(profile, edge) as session:
        opened = time.monotonic() - started
        await session.edge.status()
        answered = time.monotonic() - started
        first = session.status().path
        if settle:
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE):
                    while session.tunnel.path.relayed:
                        await session.tunnel.changed()
        status = session.status()
    return {
        "path": str(status.path),
        "first": str(first),
        "reason": status.reason,
        "open_ms": round(opened * 1000),
        "answered_ms": round(answered * 1000),
    }


class Reach:
    """Opens one edge host again and again, with a connection to cloud and hub that stands."""

    def __init__(self, profile: Profile, cloud: CloudClient, router: EnvelopeRouter, edge: str) -> None:
        stored = profile.load()
        self._profile = profile
        self._stored = stored
        self._cloud = cloud
        self._router = router
        self._edge = edge
        ca_file = profile.ca_file or stored.ca_file
        self._options = peer_options(profile.proxy or stored.proxy, ca_file, profile.networks)

    async def once(self) -> dict[str, Any]:
        """The path and, from the wish, milliseconds to the ticket, the link and the open stream."""
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
            opened = time.monotonic()
            path = str(tunnel.path)
            writer.close()
        await self._cloud.end_session(self._stored.organization_id, ticket.session)
        times = {"ticket_ms": granted, "link_ms": linked, "open_ms": opened}
        return {"path": path} | {name: round((at - begin) * 1000, 1) for name, at in times.items()}


async def reach(profile: Profile, *, edge: str, times: int) -> dict[str, Any]:
    """See `Reach.once`; the first time is not counted: it fills caches."""
    stored = profile.load()
    async with profile.cloud(stored) as cloud:
        edge_host = await find_edge(cloud, stored.organization_id, edge)
        routers: list[EnvelopeRouter] = []

        async def receive(message: Any) -> None:
            if isinstance(message, EnvelopeMessage | Undeliverable):
                routers[0].receive(message)

        client = SignalingClient(
            stored.hub_url,
            profile.identity(),
            agent="lab",
            on_message=receive,
            proxy=profile.proxy or stored.proxy,
            ssl_context=tls_context(profile.ca_file or stored.ca_file),
        )
        routers.append(EnvelopeRouter(client.send))
        async with client:
            await client.wait_online(SETTLE)
            reaching = Reach(profile, cloud, routers[0], edge_host.id)
            await reaching.once()
            return {"opens": [await reaching.once() for _ in range(times)]}


COMMANDS = {"sign_in": sign_in, "setup_code": setup_code, "open": open_session, "reach": reach}


async def answer(profile: Profile, line: str) -> dict[str, Any]:
    request = json.loads(line)
    try:
        return {"ok": True, **await COMMANDS[request.pop("do")](profile, **request)}
    except FarsiteError as error:
        return {"ok": False, "code": str(error.code), "detail": error.detail}


async def main(home: str, ca_file: str, proxy: str) -> None:
    profile = Profile(Path(home), proxy=proxy or None, ca_file=ca_file)
    preload()  # once: the grid measures the network, not imports
    print(json.dumps({"ok": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(profile, line)), flush=True)


asyncio.run(main(*sys.argv[1:]))
