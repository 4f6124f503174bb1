"""Thousands of peers of a hub in one process: real identities and handshakes over a WebSocket client of few lines.

They come back as the signaling client does (`Backoff`, `retry_after`), so that a hub that is killed meets what it
would meet. `python -m tests.bench.hub_peers COUNT FOLDER`; the first line in is the hub's port, further ones are
questions: `back` (answered when all are online), `send RATE SECONDS`, `log` (what happened since the last such
question: times of attempts, and who was online from when to when). Identities are made here, with the authority's
certificate written to FOLDER, unless `identities.json` is there.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farsite_signaling.identity import (
    CertificateAuthority,
    Identity,
    generate_key,
    load_private_key,
    make_request,
)
from farsite_signaling.peer.signaling import SignalingTiming
from farsite_signaling.wire.envelope import Envelope
from farsite_signaling.wire.hub import HUB_PATH, EnvelopeMessage, Hello, Proof, dump, proof_bytes
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId
from farsite_signaling.wire.version import supported_versions
from tests.bench.edge_process import lines, say
from tests.bench.harness import loop_factory

TEXT, CLOSE = 0x81, 0x88
AT_ONCE = 200
TIMEOUT = 10.0
JITTER = 0.02
"""Seconds by which a ping comes late."""


class WebSocket(asyncio.Protocol):
    """The client's half of RFC 6455 as far as a hub needs it: whole text frames, a mask of zeros."""

    def __init__(
        self, port: int, on_text: Callable[[bytes], None], on_end: Callable[[float | None], None]
    ) -> None:
        self._port = port
        self._on_text = on_text
        self._on_end = on_end
        self._buffer = bytearray()
        self._open = False
        self._retry_after: float | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {HUB_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open and not self._upgraded():
            return
        while (text := self._frame()) is not None:
            self._on_text(text)

    def _upgraded(self) -> bool:
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            self._retry_after = next(
                (
                    float(line[12:])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"retry-after:")
                ),
                0.0,
            )
            assert self.transport is not None
            self.transport.close()
            return False
        self._open, self._buffer = True, bytearray(rest)
        return True

    def _frame(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1], 2
        if size == 126:
            size, at = int.from_bytes(buffer[2:4]), 4
        if len(buffer) < at + size:
            return None
        kind, body = buffer[0], bytes(buffer[at : at + size])
        del buffer[: at + size]
        if kind == CLOSE:
            assert self.transport is not None
            self.transport.close()
            return None
        return body

    @property
    def alive(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def send(self, text: str) -> None:
        data = text.encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        assert self.transport is not None
        self.transport.write(bytes([TEXT]) + size + bytes(4) + data)

    def connection_lost(self, error: Exception | None) -> None:
        self._on_end(self._retry_after)


class Peer:
    """One edge host that stays connected."""

    def __init__(self, fleet: Fleet, identity: Identity) -> None:
        self._fleet = fleet
        self._identity = identity
        self._socket: WebSocket | None = None
        self._ended = asyncio.Event()
        self._retry_after: float | None = None
        self._ping: asyncio.TimerHandle | None = None
        self._heartbeat = 4.0
        self._pinged = 0.0
        self.urn = identity.urn
        self.online = False

    async def run(self) -> None:
        timing = SignalingTiming()
        backoff = timing.backoff()
        while True:
            self._ended.clear()
            self._retry_after = None
            async with self._fleet.dialing:
                await self._dial()
            await self._ended.wait()
            if self.online:
                backoff.stretch = timing.stretch(self._heartbeat)
                backoff.reset()
            self._offline()
            await asyncio.sleep(backoff.next() + (self._retry_after or 0.0))

    async def _dial(self) -> None:
        port = self._fleet.port
        self._fleet.note("dials", self.urn)
        try:
            async with asyncio.timeout(TIMEOUT):
                make = lambda: WebSocket(port, self._heard, self._over)  # noqa: E731
                _, self._socket = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)
        except (OSError, TimeoutError):
            self._ended.set()
            return
        hello = Hello(
            versions=supported_versions(), name=self.urn, certificate=self._identity.certificate_pem
        )
        self._say(dump(hello))

    def _over(self, retry_after: float | None) -> None:
        # What the hub's last word said holds.
        self._retry_after = self._retry_after or retry_after
        self._ended.set()

    def _offline(self) -> None:
        if self.online:
            self._fleet.note("down", self.urn)
        self._fleet.online -= self.online
        self.online = False
        if self._ping is not None:
            self._ping.cancel()

    def _heard(self, text: bytes) -> None:
        message = json.loads(text)
        match message["type"]:
            case "challenge":
                signature = self._identity.sign(proof_bytes(message["nonce"], self.urn))
                self._say(dump(Proof(signature=signature)))
            case "welcome":
                self._heartbeat = message["heartbeat"]
                self.online = True
                self._fleet.note("up", self.urn)
                self._fleet.welcomed()
                self._pinged = asyncio.get_running_loop().time()
                self._later()
            case "ping":
                self._say(json.dumps({"type": "pong", "token": message["token"]}))
            case "pong":
                self._pace(message.get("heartbeat"))
            case "envelope":
                self._fleet.arrived(message["envelope"])
            case "bye":
                self._retry_after = message.get("retry_after")

    def _later(self) -> None:
        """As `wire.heartbeat` does, with what networks add to it."""
        if self._ping is not None:
            self._ping.cancel()
        at = self._pinged + self._heartbeat + random.uniform(0.0, JITTER)
        self._ping = asyncio.get_running_loop().call_at(at, self._beat)

    def _beat(self) -> None:
        if self._say('{"type":"ping","token":1}'):
            self._pinged += self._heartbeat
            self._later()

    def _pace(self, heartbeat: float | None) -> None:
        if heartbeat is not None:
            self._heartbeat = heartbeat
            self._later()

    def _say(self, text: str) -> bool:
        """False when there is no connection: `_over` has been told, or will be."""
        socket = self._socket
        if socket is None or not socket.alive:
            return False
        socket.send(text)
        return True

    def tell(self, other: Peer, number: int) -> None:
        envelope = Envelope(
            id=f"m{number}",
            sender=self.urn,
            recipient=other.urn,
            payload="x" * 800,
            signature="x" * 86,
            certificate=self._identity.certificate_pem,
        )
        self._say(dump(EnvelopeMessage(envelope=envelope)))


class Fleet:
    def __init__(self, port: int) -> None:
        self.port = port
        self.online = 0
        self.dialing = asyncio.Semaphore(AT_ONCE)
        self.peers: list[Peer] = []
        self._log: dict[str, list[tuple[float, str]]] = {"dials": [], "up": [], "down": []}
        self._sent: dict[str, float] = {}
        self._waits: list[float] = []
        self._changed = asyncio.Event()

    def note(self, what: str, name: str) -> None:
        self._log[what].append((time.monotonic(), name))

    def log(self) -> dict[str, list[tuple[float, str]]]:
        told, self._log = self._log, {what: [] for what in self._log}
        return told

    def welcomed(self) -> None:
        self.online += 1
        self._changed.set()

    async def until_online(self, count: int) -> None:
        while self.online < count:
            self._changed.clear()
            await self._changed.wait()

    def arrived(self, envelope: dict[str, Any]) -> None:
        self._waits.append(time.perf_counter() - self._sent.pop(envelope["id"]))

    async def send(self, rate: float, seconds: float) -> list[float]:
        """Evenly spaced envelopes between peers drawn at random; how long each was under way, seconds."""
        self._waits, number = [], 0
        begin = time.perf_counter()
        while (passed := time.perf_counter() - begin) < seconds:
            while number < passed * rate:
                sender, receiver = random.sample(self.peers, 2)
                self._sent[f"m{number}"] = time.perf_counter()
                sender.tell(receiver, number)
                number += 1
            await asyncio.sleep(0.001)
        async with asyncio.timeout(TIMEOUT):
            while self._sent:
                await asyncio.sleep(0.005)
        return self._waits


def identities(count: int, folder: Path) -> list[Identity]:
    given = folder / "identities.json"
    if given.exists():
        pairs = json.loads(given.read_text())
        return [Identity.from_pem(load_private_key(key.encode()), pem) for key, pem in pairs]
    authority = CertificateAuthority.create("bench")
    (folder / "ca.pem").write_text(authority.pem)
    made = []
    for number in range(count):
        key, name = generate_key(), EdgeName(OrgId("bench"), EdgeId(f"e{number}"))
        made.append(Identity.from_pem(key, authority.issue(make_request(key, "bench"), name)))
    return made


async def main(count: int, folder: Path) -> None:
    reader = await lines()
    known = identities(count, folder)
    say(json.dumps("made"))
    fleet = Fleet(int(await reader.readline()))
    fleet.peers = [Peer(fleet, identity) for identity in known]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(peer.run(), name=peer.urn) for peer in fleet.peers]
        while line := (await reader.readline()).split():
            match line[0].decode():
                case "back":
                    await asyncio.sleep(0.1)  # connections that have ended already count as such
                    await fleet.until_online(count)
                    say(json.dumps(fleet.online))
                case "log":
                    say(json.dumps(fleet.log()))
                case "send":
                    say(json.dumps(await fleet.send(float(line[1]), float(line[2]))))
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as running:
        running.run(main(int(sys.argv[1]), Path(sys.argv[2])))
