"""The parts of the resumption tests, each a process in a namespace: `hub`, `edge` and `client`.

The hub's process also plays the cloud: it hands out tickets. The edge host's streams send or take as many bytes as
they are asked for, at a pace. Commands to the client and what every part says are JSON lines.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from farsite_cloud.turn.credentials import turn_credentials
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.reach import ApiAccess
from farsite_edge.workers.listener import WorkerListener
from farsite_signaling.hub import Hub
from farsite_signaling.identity import Identity, OrganizationTrust, load_private_key, sign_grant
from farsite_signaling.identity.certificates import public_key_of
from farsite_signaling.peer.dialer import open_tunnel
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.rtc import preload
from farsite_signaling.peer.signaling import SignalingClient
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.cloud_api import SessionTicket
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.hub import EnvelopeMessage, Hello, Report, SessionAnnounced, Undeliverable
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.rights import Role, rights_of
from farsite_signaling.wire.stream import ApiTarget, Priority
from farsite_signaling.wire.work import WorkReport

PIECE = 32 * 1024


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Folder:
    """Keys and settings that the test wrote."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.settings: dict[str, Any] = json.loads((self._path / "settings.json").read_text())
        self.trust = OrganizationTrust((self._path / "ca.pem").read_text())

    def key(self, name: str) -> Any:
        return load_private_key((self._path / f"{name}.key").read_bytes())

    def identity(self, name: str) -> Identity:
        return Identity.from_pem(self.key(name), (self._path / f"{name}.pem").read_text())


# The hub, and the cloud's tickets


class Authorizer:
    def __init__(self, trust: OrganizationTrust) -> None:
        self._trust = trust

    async def authenticate(self, hello: Hello) -> Any:
        _, certificate = self._trust.verify(hello.certificate, datetime.now(UTC))
        return public_key_of(certificate)

    async def may_deliver(self, sender: str, recipient: str) -> None:
        pass

    async def report_received(self, name: str, report: Report) -> None:
        pass

    async def work_reported(self, name: str, report: WorkReport) -> None:
        pass

    async def inventory_received(self, name: str, delta: Any) -> list[Any]:
        return []

    async def presence_changed(self, name: str, online: bool) -> None:
        pass


class Tickets:
    def __init__(self, folder: Folder, hub: Hub) -> None:
        self._settings = folder.settings
        self._key = folder.key("grant")
        self._hub = hub
        self._edge = folder.identity("edge").urn
        self._client = folder.identity("client").urn

    async def issue(self, request: web.Request) -> web.Response:
        now, ttl = datetime.now(UTC), float(self._settings["ttl"])
        user, credential = turn_credentials(self._settings["secret"], "s1", ttl, now.timestamp())
        hosts = self._settings["turn"]
        turn = [f"turn:{host}:3478?transport=udp" for host in hosts]
        servers = [
            IceServer(urls=[f"stun:{host}:3478" for host in hosts]),
            IceServer(urls=turn, username=user, credential=credential),
        ]
        announced = SessionAnnounced(session="s1", client=self._client, ice_servers=servers)
        if not await self._hub.notify(self._edge, announced):
            return web.Response(status=503)
        return web.Response(text=self._ticket(servers, now, ttl).model_dump_json(exclude_none=True))

    def _ticket(self, servers: list[IceServer], now: datetime, ttl: float) -> SessionTicket:
        issued = int(now.timestamp())
        rights = rights_of(Role.ADMIN)
        names = {"iss": "cloud", "aud": self._edge, "sub": self._client, "sid": "s1", "org": "acme"}
        times = {"iat": issued, "nbf": issued, "exp": issued + 300, "until": issued + 3600}
        grant = Grant.model_validate({**names, **times, "role": Role.ADMIN, "rights": rights})
        return SessionTicket(
            session="s1",
            grant=sign_grant(self._key, grant),
            edge=self._edge,
            edge_name="edge",
            hub_url=self._settings["hub"],
            ice_servers=servers,
            expires_at=now + timedelta(hours=1),
            server_time=now,
            opens_until=now + timedelta(minutes=5),
            ice_expires_at=now + timedelta(seconds=ttl),
        )


async def run_hub(folder: Folder) -> None:
    async with Hub(Authorizer(folder.trust)) as hub:
        app = web.Application()
        app.router.add_get("/hub", hub.handle)
        app.router.add_post("/ticket", Tickets(folder, hub).issue)
        runner = web.AppRunner(app)
        await runner.setup()
        host, port = folder.settings["address"]
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        say(event="ready")
        await asyncio.Event().wait()


# The edge host


class Everything:
    """In place of the edge host's `StreamJudge`: every stream goes to `exchange`."""

    async def judge(self, *_: object) -> ApiAccess:
        return ApiAccess()


class Exchange:
    """Sends and takes bytes at a pace; tells the hash and the longest stall."""

    def protocol(self) -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        if order["way"] == "down":
            await send(writer, order)
            writer.write_eof()
            await reader.read()
        else:
            writer.write(json.dumps(await take(reader)).encode())
        writer.close()


def pieces(order: dict[str, Any]) -> tuple[bytes, str]:
    data = random.Random(order["seed"]).randbytes(order["size"])
    return data, hashlib.sha256(data).hexdigest()


async def send(writer: asyncio.StreamWriter, order: dict[str, Any]) -> str:
    data, digest = pieces(order)
    for start in range(0, len(data), PIECE):
        writer.write(data[start : start + PIECE])
        await writer.drain()
        await asyncio.sleep(PIECE / order["pace"])
    return digest


async def take(reader: asyncio.StreamReader) -> dict[str, Any]:
    digest, count, stall, last, told = hashlib.sha256(), 0, 0.0, time.monotonic(), False
    while data := await reader.read(65536):
        now = time.monotonic()
        stall, last = max(stall, now - last), now
        count += len(data)
        digest.update(data)
        if not told and count >= 4 << 20:
            told = True
            say(event="quarter")
    return {"sha256": digest.hexdigest(), "bytes": count, "stall": round(stall, 2)}


@asynccontextmanager
async def at_hub(folder: Folder, name: str, receive: Callable[[Any], None]) -> AsyncIterator[SignalingClient]:
    async def on_message(message: Any) -> None:
        receive(message)

    client = SignalingClient(
        folder.settings["hub"], folder.identity(name), agent="lab", on_message=on_message
    )
    async with client:
        await client.wait_online(15)
        yield client


async def run_edge(folder: Folder) -> None:
    """Each session in a process of its own, as edge hosts run them."""
    parts: list[Any] = []

    def receive(message: Any) -> None:
        if isinstance(message, EnvelopeMessage | Undeliverable):
            parts[0].receive(message)
        elif isinstance(message, SessionAnnounced):
            parts[1].announced(message)

    async with at_hub(folder, "edge", receive) as client:
        parts.append(EnvelopeRouter(client.send))
        judge: Any = Everything()
        listener = WorkerListener(
            identity=folder.identity("edge"),
            trust=folder.trust,
            grant_key=folder.key("grant").public_key(),
            acceptor=EdgeAcceptor(judge, Exchange().protocol, timeout=10.0),
            admit=lambda grant: None,
            options=PeerOptions(resume_timeout=folder.settings["resume"]),
            router=parts[0],
            on_refused=lambda error, sender, session: say(event="refused", error=str(error)),
        )
        parts.append(listener)
        async with listener:
            listener.prepare()
            say(event="ready")
            await asyncio.Event().wait()


# The client


class Way:
    """Implements `Redial` as the command line does: at the hub only while a link is opened."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.renewals = 0

    @asynccontextmanager
    async def signaling(self) -> AsyncIterator[EnvelopeRouter]:
        routers: list[EnvelopeRouter] = []

        def receive(message: Any) -> None:
            if isinstance(message, EnvelopeMessage | Undeliverable):
                routers[0].receive(message)

        async with at_hub(self._folder, "client", receive) as client:
            routers.append(EnvelopeRouter(client.send))
            yield routers[0]

    async def ticket(self) -> SessionTicket:
        url = self._folder.settings["hub"].replace("ws:", "http:").replace("/hub", "/ticket")
        async with aiohttp.ClientSession() as session, session.post(url, raise_for_status=True) as answer:
            return SessionTicket.model_validate_json(await answer.text())

    async def renew(self) -> SessionTicket:
        ticket = await self.ticket()
        self.renewals += 1
        return ticket


async def run_client(folder: Folder) -> None:
    """One tunnel; when it is given up, another one, as a user would open it."""
    preload()
    way = Way(folder)
    orders = iter(sys.stdin.readline, "")
    while True:
        begun = time.monotonic()
        async with await open_one(folder, way) as tunnel:
            say(event="ready", path=str(tunnel.path), took=round(time.monotonic() - begun, 2))
            try:
                while line := await asyncio.to_thread(next, orders, ""):
                    result = await transfer(tunnel, json.loads(line))
                    say(event="done", **result, **state(tunnel), renewals=way.renewals)
                return
            except (FarsiteError, OSError, EOFError):
                error = tunnel.error
                say(event="lost", code=None if error is None else str(error.code))


async def open_one(folder: Folder, way: Way) -> Tunnel:
    ticket = await way.ticket()
    async with way.signaling() as router:
        return await open_tunnel(
            ticket,
            identity=folder.identity("client"),
            trust=folder.trust,
            router=router,
            options=PeerOptions(),
            redial=way,
        )


def state(tunnel: Tunnel) -> dict[str, Any]:
    status = tunnel.status()
    return {"path": str(status.path), "moves": status.moves, "last_move": status.last_move}


async def transfer(tunnel: Tunnel, order: dict[str, Any]) -> dict[str, Any]:
    reader, writer = await tunnel.open_stream(ApiTarget(), priority=Priority.BULK)
    writer.write(json.dumps(order).encode() + b"\n")
    if order["way"] == "down":
        writer.write_eof()
        result = await take(reader)
        expected = await asyncio.to_thread(lambda: pieces(order)[1])
    else:
        expected = await send(writer, order)
        writer.write_eof()
        result = json.loads(await reader.read())
    writer.close()
    return {**result, "whole": result["sha256"] == expected and result["bytes"] == order["size"]}


logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
for noisy in ("aioice", "aiortc"):
    logging.getLogger(noisy).setLevel(logging.WARNING)
ROLES = {"hub": run_hub, "edge": run_edge, "client": run_client}

asyncio.run(ROLES[sys.argv[1]](Folder(sys.argv[2])))
