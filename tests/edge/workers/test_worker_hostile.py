"""A worker that was taken over: what it says on its control socket gets it nothing that main did not allow."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.judge import StreamJudge
from farsite_edge.workers import messages as m
from farsite_edge.workers.control import ControlSocket
from farsite_edge.workers.session import SessionState, WorkerLimits, WorkerSession
from farsite_edge.workers.streams import MOST_JUDGED
from farsite_signaling.peer.gate import VerifiedOffer
from farsite_signaling.peer.talk import Heard
from farsite_signaling.wire.envelope import Body, Offer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.rights import Role, rights_of
from tests.signaling.peer.conftest import Echo

from .conftest import DEVICE, Devices, until

FINGERPRINT = ":".join(["AB"] * 32)
ANSWER = {"kind": "answer", "sdp": "v=0", "version": 1}
CANDIDATES: dict[str, Any] = {"kind": "candidates", "candidates": []}


class Talk:
    """What main would seal and send to the client."""

    session = "s1"

    def __init__(self) -> None:
        self.sent: list[Body] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    async def send(self, body: Body, fingerprint: str | None) -> None:
        self.sent.append(body)

    async def receive(self) -> Heard:
        await asyncio.Event().wait()
        raise AssertionError


@dataclass
class Process:
    own: socket.socket
    pid: int | None = None
    killed: bool = False
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def kill(self) -> None:
        self.killed = True
        if not self.ended.done():
            self.ended.set_result(9)


class Captured:
    """Main's session, and the other end of its socket in our hands."""

    def __init__(self, devices: frozenset[str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        self.devices = Devices()
        self.devices.records[DEVICE] = DeviceRecord(id=DEVICE, address="127.0.0.1", http_port=1234)
        world: Any = self.devices
        judge = StreamJudge(world, world, AddressRule(allow_own=True), world)
        self.acceptor = EdgeAcceptor(judge, Echo, timeout=1.0)
        now = int(time.time())
        grant = Grant(
            iss="cloud",
            aud="urn:farsite:acme:edge:edge1",
            sub="urn:farsite:acme:user:ann:device:laptop",
            sid="s1",
            org="acme",
            role=Role.ADMIN,
            rights=rights_of(Role.ADMIN),
            devices=devices,
            iat=now,
            nbf=now,
            exp=now + 60,
            until=now + 3600,
        )
        offer = Offer(sdp="v=0", grant="g", versions=[1], tunnel="t" * 20)
        self.verified = VerifiedOffer(offer, grant.sub, FINGERPRINT, 1, grant)
        self.process = Process(ours)
        process: Any = self.process
        self.session = WorkerSession(
            self.verified,
            process,
            self.acceptor,
            WorkerLimits(),
            check=lambda session: None,
            clock=time.time,
        )
        self.talk = Talk()
        self.heard: list[dict[str, Any]] = []
        self.received: list[int] = []
        self._theirs = theirs

    async def start(self, group: asyncio.TaskGroup) -> None:
        started = asyncio.Event()
        begin = m.Begin(session="s1", options={}, device_timeout=1.0)
        group.create_task(self.session.run(begin, started))
        await started.wait()
        self.link = self.session.link(self.verified, self.talk)
        self.socket = ControlSocket(
            self._theirs, self._line, lambda error: None, longest=m.MAX_FROM_MAIN, takes=16
        )
        self.socket.start()

    def _line(self, line: bytes) -> None:
        message = json.loads(line)
        self.heard.append(message)
        if message["kind"] == "allowed" and message["access"]["kind"] == "api":
            self.received.append(self.socket.take_descriptor())

    def say(self, **message: Any) -> None:
        self.raw(json.dumps(message).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        self.socket.send(data)

    def open(self, stream: int, **target: Any) -> None:
        self.say(kind="open", stream=stream, request={"target": target})

    async def answer(self, stream: int) -> dict[str, Any]:
        await until(lambda: any(message.get("stream") == stream for message in self.heard), 5)
        return next(message for message in self.heard if message.get("stream") == stream)

    async def ended(self) -> FarsiteError | None:
        async with asyncio.timeout(5):
            return await self.session.ended()

    def close(self) -> None:
        self.socket.close()
        for descriptor in self.received:
            os.close(descriptor)


@pytest.fixture
async def captured() -> AsyncIterator[Captured]:
    async with asyncio.TaskGroup() as group:
        one = Captured()
        await one.start(group)
        yield one
        one.close()


def says(body: dict[str, Any], fingerprint: str = FINGERPRINT) -> bytes:
    return json.dumps({"kind": "says", "link": 1, "body": body, "fingerprint": fingerprint}).encode() + b"\n"


OFFER = {"kind": "offer", "sdp": "v=0", "grant": "x", "versions": [1]}
REFUSAL = {"kind": "refusal", "code": "forbidden", "detail": "x"}


BROKEN: dict[str, list[bytes]] = {
    "no JSON": [b"\x00\xff\n"],
    "a line without end": [b"{" * (m.MAX_FROM_WORKER + 10)],
    "a line too long": [b'{"kind":"beat","x":"' + b"x" * m.MAX_FROM_WORKER + b'"}\n'],
    "unknown message": [b'{"kind":"sign","data":"AAAA"}\n'],
    "a message of main's": [b'{"kind":"close","reason":{"code":"closed","detail":""}}\n'],
    "fields too many": [b'{"kind":"beat","session":"s2"}\n'],
    "deeply nested": [b'{"kind":"beat","standing":' + b"[" * 30000 + b"]" * 30000 + b"}\n"],
    "an offer to be signed": [says(OFFER)],
    "a refusal to be signed": [says(REFUSAL)],
    "no fingerprint": [says(ANSWER, "AB")],
    "two answers": [says(ANSWER)] * 2,
    "another version": [says(ANSWER | {"version": 7})],
    "endless candidates": [says(CANDIDATES)] * 65,
    "a link that never stood": [b'{"kind":"joined","link":1}\n'],
    "a link of nobody": [b'{"kind":"joined","link":99}\n'],
    "negative numbers": [b'{"kind":"open","stream":-1,"request":{"target":{"kind":"api"}}}\n'],
    "an address of its choice": [
        b'{"kind":"open","stream":1,"request":{"target":{"kind":"tcp","address":"10.0.0.1","port":22}}}\n'
    ],
}


@pytest.mark.parametrize("what", BROKEN)
async def test_who_breaks_the_rules_is_ended(what: str, captured: Captured) -> None:
    for data in BROKEN[what]:
        captured.raw(data)
    error = await captured.ended()
    assert error is not None and error.code is ErrorCode.UNAVAILABLE
    assert "broke its rules" in error.detail
    assert captured.process.killed
    assert all(body.kind in ("answer", "candidates") for body in captured.talk.sent)


async def test_what_it_says_goes_to_its_own_client_only(captured: Captured) -> None:
    captured.say(kind="says", link=7, body=ANSWER, fingerprint=FINGERPRINT)  # of no link: nobody hears it
    captured.say(kind="says", link=1, body=ANSWER, fingerprint=FINGERPRINT)
    await until(lambda: len(captured.talk.sent) == 1, 5)
    assert captured.session.state is SessionState.OPENING


async def test_streams_are_judged_by_main(captured: Captured) -> None:
    captured.open(1, kind="device", device="ACCC8E0000FF")
    assert (await captured.answer(1))["reason"]["code"] == "device_unknown"
    captured.open(2, kind="device", device=DEVICE)
    answer = await captured.answer(2)
    assert answer["access"] == {
        "kind": "device",
        "device": DEVICE,
        "address": "127.0.0.1",
        "port": 1234,
        "pin": None,
    }
    # It is in the log from then on, whether the worker says what it did with it or not.
    assert ("device.web", DEVICE) in [(row, values.get("target")) for row, values in captured.devices.rows]
    captured.open(3, kind="api")
    assert (await captured.answer(3))["access"] == {"kind": "api"}
    assert len(captured.received) == 1


async def test_devices_outside_the_grant_do_not_exist() -> None:
    async with asyncio.TaskGroup() as group:
        one = Captured(devices=frozenset({"ACCC8E0000AA"}))
        await one.start(group)
        one.open(1, kind="device", device=DEVICE)
        assert (await one.answer(1))["reason"]["code"] == "device_unknown"
        one.close()


async def test_streams_that_are_never_connected_are_bounded(captured: Captured) -> None:
    for number in range(MOST_JUDGED + 10):
        captured.open(number, kind="device", device=DEVICE)
    await until(lambda: sum("stream" in message for message in captured.heard) == MOST_JUDGED + 10, 10)
    refused = [message for message in captured.heard if message["kind"] == "refused"]
    assert {message["reason"]["code"] for message in refused} == {"stream_limit"}
    assert len(refused) == 10


async def test_its_word_about_devices_is_not_believed(captured: Captured) -> None:
    changed = {"code": "device_certificate_changed", "detail": "Another one."}
    captured.say(kind="stream_over", stream=5, reason=changed)  # nobody allowed it that stream
    captured.open(1, kind="device", device=DEVICE)
    await captured.answer(1)
    captured.say(kind="stream_over", stream=1, reason=changed)
    await until(lambda: captured.devices.checked == [DEVICE], 5)
    used = {"device": "ACCC8E0000FF", "streams": 1, "sent": 1, "received": 1}
    captured.say(kind="beat", used=[used, {"device": DEVICE, "streams": 2, "sent": 30, "received": 4}])
    captured.say(kind="beat", used=[{"device": DEVICE, "streams": 1, "sent": 3, "received": 0}])
    await captured.session.report(5)
    await until(lambda: captured.acceptor.usage.so_far("s1") == [(DEVICE, 2, 30, 4)], 5)


async def test_a_flood_is_heard_slowly_and_nobody_else_waits(captured: Captured) -> None:
    for _ in range(4000):
        captured.say(kind="beat")
    # Our own work between two looks at the clock; what else the machine does is not the flood's fault.
    longest, last = 0.0, time.process_time()
    for _ in range(50):
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.process_time() - last), time.process_time()
    assert longest < 1.0
    assert captured.session.state is SessionState.OPENING


async def test_descriptors_that_it_sends_are_never_taken(captured: Captured) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        captured.socket.send(b'{"kind":"beat"}\n', os.open("/dev/null", os.O_RDONLY))
    captured.open(1, kind="device", device=DEVICE)
    await captured.answer(1)
    assert len(os.listdir("/proc/self/fd")) <= before
