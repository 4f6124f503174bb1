"""Messages of hub, envelopes and streams: golden texts, and that hostile bytes only ever give a `FarsiteError`."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from farsite_signaling.wire.envelope import Answer, Candidates, Envelope, Offer, Refusal, Sealed
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, Problem, parse_code, status_of
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.heartbeat import Heartbeat
from farsite_signaling.wire.hub import (
    MAX_MESSAGE,
    Bye,
    Challenge,
    EnvelopeMessage,
    Hello,
    Ping,
    Pong,
    Proof,
    ReportAccepted,
    SessionAnnounced,
    SessionEnded,
    Undeliverable,
    Unknown,
    Welcome,
    dump,
    parse_hub_message,
    proof_bytes,
)
from farsite_signaling.wire.ids import ClientName, EdgeName, parse_name
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.stream import MAX_OPEN, ApiTarget, DeviceTarget, OpenRequest, parse_open
from farsite_signaling.wire.version import HISTORY, PROTOCOL_VERSION, negotiate, supported_versions

EDGE = "urn:farsite:acme:edge:e1"
CLIENT = "urn:farsite:acme:user:anna:device:laptop"
ENVELOPE = {
    "id": "e1",
    "sender": CLIENT,
    "recipient": EDGE,
    "payload": "cA",
    "signature": "cw",
    "certificate": "pem",
}
GOLDEN: list[tuple[Any, str]] = [
    (
        Hello(versions=[1], name=EDGE, certificate="pem", agent="a"),
        f'{{"type":"hello","versions":[1],"name":"{EDGE}","certificate":"pem","agent":"a"}}',
    ),
    (Challenge(nonce="n" * 16, time=1.5), '{"type":"challenge","nonce":"nnnnnnnnnnnnnnnn","time":1.5}'),
    (Proof(signature="s"), '{"type":"proof","signature":"s"}'),
    (
        Welcome(version=1, heartbeat=4.0, time=2.0),
        '{"type":"welcome","version":1,"heartbeat":4.0,"time":2.0}',
    ),
    (
        EnvelopeMessage(envelope=Envelope(**ENVELOPE)),
        '{"type":"envelope","envelope":' + json.dumps(ENVELOPE, separators=(",", ":")) + "}",
    ),
    (
        Undeliverable(id="e1", code="edge_offline"),
        '{"type":"undeliverable","id":"e1","code":"edge_offline","detail":""}',
    ),
    (Ping(token=3), '{"type":"ping","token":3}'),
    (Pong(token=3), '{"type":"pong","token":3}'),
    (
        SessionAnnounced(session="s1", client=CLIENT),
        f'{{"type":"session_announced","session":"s1","client":"{CLIENT}","ice_servers":[]}}',
    ),
    (
        SessionEnded(session="s1"),
        '{"type":"session_ended","session":"s1","code":"session_ended","detail":""}',
    ),
    (ReportAccepted(id="r1"), '{"type":"report_accepted","id":"r1"}'),
    (Bye(code="replaced", retry=False), '{"type":"bye","code":"replaced","detail":"","retry":false}'),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(("message", "text"), GOLDEN, ids=lambda value: getattr(value, "type", ""))
def test_golden(message: Any, text: str) -> None:
    """What travels never changes by accident, and reads back as what was meant."""
    assert dump(message) == text
    assert parse_hub_message(text) == message
    assert parse_hub_message(text.encode()) == message


def test_fields_and_types_of_a_newer_side_are_ignored() -> None:
    assert parse_hub_message('{"type":"ping","token":1,"more":[]}') == Ping(token=1)
    assert parse_hub_message('{"type":"wave","hand":"left"}') == Unknown(type="wave")


def test_proof_covers_purpose_nonce_and_name() -> None:
    assert proof_bytes("nonce", EDGE) == b"farsite-hub-v1\0nonce" + EDGE.encode()


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_bytes_are_refused_or_understood(data: str | bytes) -> None:
    try:
        parse_hub_message(data)
    except FarsiteError as error:
        assert error.code in (ErrorCode.PROTOCOL_ERROR, ErrorCode.TOO_LARGE)


@given(
    kind=st.sampled_from([message.type for message, _ in GOLDEN]),
    fields=st.dictionaries(
        st.sampled_from(
            ["versions", "name", "envelope", "token", "session", "time", "nonce", "retry_after", "id"]
        ),
        json_values,
    ),
)
def test_known_types_with_any_fields(kind: str, fields: dict[str, Any]) -> None:
    try:
        parse_hub_message(json.dumps(fields | {"type": kind}))
    except FarsiteError as error:
        assert error.code is ErrorCode.PROTOCOL_ERROR


@given(st.integers(0, len(GOLDEN) - 1), st.randoms(use_true_random=False))
def test_damaged_messages(index: int, chance: random.Random) -> None:
    data = bytearray(GOLDEN[index][1].encode())
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    try:
        parse_hub_message(bytes(data))
    except FarsiteError as error:
        assert error.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 10_000, '{"type":' + "9" * 5000 + "}", '"\ud800"'])
def test_nasty_json(text: str) -> None:
    with pytest.raises(FarsiteError) as refused:
        parse_hub_message(text)
    assert refused.value.code is ErrorCode.PROTOCOL_ERROR


def test_size_is_bounded() -> None:
    with pytest.raises(FarsiteError) as refused:
        parse_hub_message("x" * (MAX_MESSAGE + 1))
    assert refused.value.code is ErrorCode.TOO_LARGE


def test_error_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(FarsiteError) as refused:
        parse_hub_message('{"type":"proof","signature":["top secret"]}')
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"},
        {"id": ""},
        {"sender": "urn:other:x"},
        {"recipient": "urn:farsite:" + "x" * 500},
        {"payload": "x" * 70_000},
        {"certificate": "x" * 9000},
        {"signature": "x" * 200},
        {"payload": None},
    ],
)
def test_envelopes_are_bounded(change: dict[str, Any]) -> None:
    Envelope(**ENVELOPE)
    with pytest.raises(ValidationError):
        Envelope(**(ENVELOPE | change))


BODIES = [
    Offer(sdp="v=0", grant="g", versions=[1]),
    Answer(sdp="v=0", version=1),
    Candidates(candidates=["candidate:1 1 udp 1 127.0.0.1 9 typ host"], complete=True),
    Refusal(code="remote_access_off", detail="Off."),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.kind)
def test_sealed_round_trip(body: Any) -> None:
    sealed = Sealed(
        session="s1",
        sender=CLIENT,
        recipient=EDGE,
        fingerprint=":".join(["AB"] * 32),
        nonce="n" * 16,
        issued_at=1,
        expires_at=61,
        body=body,
    )
    assert Sealed.model_validate_json(sealed.model_dump_json()) == sealed


@pytest.mark.parametrize(
    "fingerprint", ["", "AB", ":".join(["ab"] * 32), ":".join(["AB"] * 32) + "\n", ":".join(["AB"] * 33)]
)
def test_fingerprints_are_exact(fingerprint: str) -> None:
    with pytest.raises(ValidationError):
        Sealed(
            session="s",
            sender=CLIENT,
            recipient=EDGE,
            fingerprint=fingerprint,
            nonce="n" * 16,
            issued_at=1,
            expires_at=2,
            body=BODIES[3],
        )


def test_grant_stays_out_of_logs() -> None:
    assert "secret" not in repr(Offer(sdp="v=0", grant="secret", versions=[1]))


def test_rights_of_a_newer_cloud_are_left_out_of_a_grant() -> None:
    claims = {"iss": "c", "aud": EDGE, "sub": CLIENT, "sid": "s", "org": "o", "role": "viewer"}
    times = {"iat": 1, "nbf": 1, "exp": 2, "until": 3}
    grant = Grant.model_validate(claims | times | {"rights": ["device.read", "coffee.brew", 7]})
    assert grant.rights == {Right.DEVICE_READ}


class TestOpen:
    def test_golden(self) -> None:
        assert parse_open(b'{"target":{"kind":"api"}}') == OpenRequest(target=ApiTarget())
        device = parse_open(b'{"target":{"kind":"device","device":"00408C123456","service":"https"}}')
        assert device.target == DeviceTarget(device="00408C123456", service="https")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff",
            b'{"target":{"kind":"tcp","host":"10.0.0.1"}}',
            b'{"target":{"kind":"device","device":"../x"}}',
            b'{"target":{"kind":"device","device":"a","service":"telnet"}}',
            b" " * (MAX_OPEN + 1),
            b"[" * MAX_OPEN,
        ],
    )
    def test_refused(self, data: bytes) -> None:
        with pytest.raises(FarsiteError) as refused:
            parse_open(data)
        assert refused.value.code is ErrorCode.PROTOCOL_ERROR

    @given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
    def test_any_bytes(self, data: bytes) -> None:
        try:
            parse_open(data)
        except FarsiteError as error:
            assert error.code is ErrorCode.PROTOCOL_ERROR


class TestVersions:
    def test_every_version_has_a_dated_entry(self) -> None:
        assert sorted(HISTORY) == list(range(1, PROTOCOL_VERSION + 1))
        assert supported_versions()[-1] == PROTOCOL_VERSION

    @given(st.lists(st.integers(), max_size=10))
    def test_highest_common_or_a_reason(self, offered: list[int]) -> None:
        common = set(offered) & set(supported_versions())
        if common:
            assert negotiate(offered) == max(common)
            return
        with pytest.raises(FarsiteError) as refused:
            negotiate(offered)
        assert refused.value.code is ErrorCode.VERSION_UNSUPPORTED
        assert len(refused.value.detail) <= 2000

    def test_names_of_the_sides(self) -> None:
        with pytest.raises(FarsiteError, match=r"Update the cloud\."):
            negotiate([PROTOCOL_VERSION + 1], here="the cloud", there="the peer")
        with pytest.raises(FarsiteError, match=r"Update the peer\."):
            negotiate([0], here="the cloud", there="the peer")


class TestNames:
    parts = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)

    @given(parts, parts, parts)
    def test_round_trip(self, org: Any, one: Any, two: Any) -> None:
        for name in (EdgeName(org, one), ClientName(org, one, two)):
            assert parse_name(str(name)) == name

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "urn:farsite:acme",
            "urn:farsite:acme:edge:",
            "urn:farsite:acme:edge:a:b",
            "urn:farsite:acme:edge:a\n",
            "URN:FARSITE:acme:edge:a",
            "urn:farsite:acme:edge:ä",
            "urn:farsite:acme:user:a",
            "urn:farsite::edge:a",
            "urn:farsite:acme:edge:" + "a" * 65,
        ],
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(FarsiteError):
            parse_name(text)

    @given(st.text(max_size=100))
    def test_any_text(self, text: str) -> None:
        try:
            assert str(parse_name(text)) == text
        except FarsiteError as error:
            assert error.code is ErrorCode.CERTIFICATE_INVALID


class TestErrors:
    @pytest.mark.parametrize("code", list(ErrorCode))
    def test_problem_round_trip(self, code: ErrorCode) -> None:
        error = FarsiteError(code, "What to do.", right="edge.read", retry_after=2.0)
        problem = Problem.model_validate_json(error.problem().model_dump_json())
        back = FarsiteError.from_problem(problem)
        assert (back.code, back.detail, back.right, back.retry_after) == (
            code,
            "What to do.",
            "edge.read",
            2.0,
        )
        assert 400 <= status_of(code) < 600

    def test_codes_of_a_newer_side(self) -> None:
        assert parse_code("from_the_future") is ErrorCode.INTERNAL
        assert FarsiteError.from_problem(Problem(code="from_the_future")).code is ErrorCode.INTERNAL


class TestHeartbeat:
    def test_pings_once_per_interval(self) -> None:
        pulse = Heartbeat(4.0, 100.0)
        assert [pulse.ping(now) for now in (100.0, 103.9, 104.0, 105.0, 108.0)] == [None, None, 1, None, 2]

    def test_silence_of_nine_seconds_is_death_with_the_default(self) -> None:
        pulse = Heartbeat(4.0, 100.0)
        pulse.received(101.0)
        assert not pulse.dead(109.9)
        assert pulse.dead(110.0)

    def test_who_waits_for_pings_sends_one_only_when_none_comes(self) -> None:
        pulse = Heartbeat(4.0, 100.0, waiting=True)
        for now in (103.9, 107.8, 111.7):
            assert pulse.ping(now) is None
            pulse.received(now)
        assert pulse.ping(111.7 + 4.9) is None
        assert pulse.ping(111.7 + 5.0) == 1
        assert pulse.dead(111.7 + 9.0)

    def test_another_pace_holds_from_the_last_ping_on(self) -> None:
        pulse = Heartbeat(4.0, 100.0)
        assert pulse.ping(104.0) == 1
        pulse.pace(20.0, 104.5)
        assert pulse.ping(123.9) is None
        assert pulse.ping(124.0) == 2
        assert not pulse.dead(149.4)
        assert pulse.dead(149.5)

    @given(st.floats(0.05, 60), st.lists(st.floats(0, 1), max_size=30))
    def test_deadline_is_always_ahead_after_acting(self, interval: float, steps: list[float]) -> None:
        """Whoever sleeps until `deadline` and then acts never spins."""
        pulse = Heartbeat(interval, 0.0)
        for step in steps:
            now = pulse.deadline()
            if pulse.dead(now):
                return
            pulse.ping(now)
            if step < 0.5:
                pulse.received(now)
            assert pulse.deadline() > now
