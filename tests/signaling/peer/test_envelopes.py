"""What a hub that lies can do with an envelope: nothing but have it refused, with a code that says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.identity.keys import b64decode, b64encode
from farsite_signaling.peer.envelopes import ReplayCache, peek, seal, unseal
from farsite_signaling.wire.envelope import Body, Candidates, Envelope, Offer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# 2026-11-23: certificates of these tests are made now, so the clock of the envelopes is the machine's.
PRINT = ":".join(["AB"] * 32)
OTHER = ":".join(["CD"] * 32)


def description(*fingerprints: str, algorithm: str = "sha-256", media: str = "application") -> str:
    lines = [f"m={media} 9 UDP/DTLS/SCTP webrtc-datachannel"]
    return "\r\n".join(lines + [f"a=fingerprint:{algorithm} {value}" for value in fingerprints]) + "\r\n"


def offer(sdp: str | None = None) -> Offer:
    return Offer(sdp=sdp if sdp is not None else description(PRINT), grant="g", versions=[1])


@pytest.fixture
def now(acme: Any) -> float:
    return float(acme.edge.certificate.not_valid_before_utc.timestamp()) + 700


@pytest.fixture
def sealed_by_client(acme: Any, now: float) -> Callable[..., Envelope]:
    def make(body: Body | None = None, fingerprint: str | None = PRINT, at: float = 0.0) -> Envelope:
        return seal(acme.client, body or offer(), "s1", acme.edge.urn, fingerprint, now + at)

    return make


def open_at_edge(acme: Any, envelope: Envelope, now: float, **changes: Any) -> Any:
    arguments = {"recipient": acme.edge.urn, "now": now, "replays": ReplayCache()}
    return unseal(envelope, acme.trust, **(arguments | changes))


def refused(acme: Any, envelope: Envelope, now: float, **changes: Any) -> FarsiteError:
    with pytest.raises(FarsiteError) as caught:
        open_at_edge(acme, envelope, now, **changes)
    return caught.value


def test_what_was_sealed_comes_out(acme: Any, now: float, sealed_by_client: Any) -> None:
    sealed = open_at_edge(acme, sealed_by_client(), now)
    assert (sealed.sender, sealed.session, sealed.fingerprint) == (acme.client.urn, "s1", PRINT)
    assert sealed.body == offer()


def test_altered_payload_is_refused(acme: Any, now: float, sealed_by_client: Any) -> None:
    envelope = sealed_by_client()
    payload = b64decode(envelope.payload).replace(PRINT.encode(), OTHER.encode())
    changed = envelope.model_copy(update={"payload": b64encode(payload)})
    assert refused(acme, changed, now).code is ErrorCode.SIGNATURE_INVALID


def test_fingerprint_in_the_description_must_be_the_signed_one(
    acme: Any, now: float, sealed_by_client: Any
) -> None:
    for sdp in (description(OTHER), description(PRINT, OTHER), description(OTHER, PRINT)):
        error = refused(acme, sealed_by_client(offer(sdp)), now)
        assert error.code is ErrorCode.FINGERPRINT_MISMATCH


def test_offer_without_sha256_fingerprint_is_refused(acme: Any, now: float, sealed_by_client: Any) -> None:
    for sdp in (description(), description(PRINT, algorithm="sha-512")):
        assert refused(acme, sealed_by_client(offer(sdp)), now).code is ErrorCode.FINGERPRINT_MISMATCH
    unsigned = sealed_by_client(offer(), fingerprint=None)
    assert refused(acme, unsigned, now).code is ErrorCode.FINGERPRINT_MISMATCH


def test_description_holds_one_data_section(acme: Any, now: float, sealed_by_client: Any) -> None:
    video = description(PRINT) + description(PRINT, media="video")
    for sdp in (video, description(PRINT, media="audio"), "v=0\r\n"):
        assert refused(acme, sealed_by_client(offer(sdp)), now).code is ErrorCode.PROTOCOL_ERROR


def test_fingerprint_is_compared_as_rfc_8122_says(acme: Any, now: float, sealed_by_client: Any) -> None:
    sdp = description(PRINT.lower(), algorithm="SHA-256")
    assert open_at_edge(acme, sealed_by_client(offer(sdp)), now).body.sdp == sdp


def test_a_second_use_is_a_replay(acme: Any, now: float, sealed_by_client: Any) -> None:
    envelope, cache = sealed_by_client(), ReplayCache()
    open_at_edge(acme, envelope, now, replays=cache)
    assert refused(acme, envelope, now, replays=cache).code is ErrorCode.REPLAYED


def test_reflected_to_its_sender(acme: Any, now: float, sealed_by_client: Any) -> None:
    envelope = sealed_by_client()
    error = refused(acme, envelope, now, recipient=acme.client.urn)
    assert error.code is ErrorCode.REPLAYED
    turned = envelope.model_copy(update={"recipient": acme.client.urn})
    assert refused(acme, turned, now).code is ErrorCode.SIGNATURE_INVALID


def test_used_in_another_session(acme: Any, now: float, sealed_by_client: Any) -> None:
    assert refused(acme, sealed_by_client(), now, session="s2").code is ErrorCode.REPLAYED


def test_another_organization_under_the_same_names(acme: Any, rival: Any, now: float) -> None:
    assert rival.edge.urn == acme.edge.urn
    envelope = seal(rival.client, offer(), "s1", acme.edge.urn, PRINT, now)
    assert refused(acme, envelope, now).code is ErrorCode.CERTIFICATE_INVALID


def test_certificate_swapped_for_another_members(acme: Any, now: float, sealed_by_client: Any) -> None:
    envelope = sealed_by_client().model_copy(update={"certificate": acme.edge.certificate_pem})
    assert refused(acme, envelope, now).code is ErrorCode.SIGNATURE_INVALID


def test_member_speaking_for_another(acme: Any, now: float) -> None:
    envelope = seal(acme.edge, offer(), "s1", acme.edge.urn, PRINT, now)
    outside = envelope.model_copy(update={"sender": acme.client.urn})
    assert refused(acme, outside, now).code is ErrorCode.SIGNATURE_INVALID
    assert refused(acme, envelope, now, sender=acme.client.urn).code is ErrorCode.CERTIFICATE_INVALID


@pytest.mark.parametrize("offset", [-340, 290])
def test_five_minutes_of_skew_are_fine(acme: Any, now: float, sealed_by_client: Any, offset: float) -> None:
    assert open_at_edge(acme, sealed_by_client(at=offset), now).session == "s1"


@pytest.mark.parametrize(("offset", "words"), [(-500, "500 s behind"), (4000, "4000 s ahead of")])
def test_more_skew_names_the_seconds(
    acme: Any, now: float, sealed_by_client: Any, offset: float, words: str
) -> None:
    error = refused(acme, sealed_by_client(at=offset), now)
    assert error.code is ErrorCode.CLOCK_SKEW
    assert words in error.detail
    assert re.search(r"Set the wrong one \(NTP\)", error.detail)


def test_replay_cache_is_bounded_and_forgets_only_what_cannot_come_again() -> None:
    cache = ReplayCache(limit=10, per_sender=5)
    for number in range(5):
        cache.add("a", str(number), until=100, now=0)
    with pytest.raises(FarsiteError, match="Too many"):
        cache.add("a", "x", until=100, now=0)
    cache.add("b", "0", until=100, now=0)
    with pytest.raises(FarsiteError) as caught:
        cache.add("a", "0", until=100, now=0)
    assert caught.value.code is ErrorCode.REPLAYED
    cache.add("a", "x", until=300, now=101)
    assert len(cache) == 1


@given(st.binary(max_size=300))
def test_damaged_payloads_are_refused_and_never_crash(data: bytes) -> None:
    envelope = Envelope(
        id="e",
        sender="urn:farsite:a:edge:b",
        recipient="urn:farsite:a:edge:c",
        payload=b64encode(data),
        signature="x",
        certificate="",
    )
    peek(envelope)


def test_peek_tells_where_an_envelope_belongs(acme: Any, now: float) -> None:
    body = Candidates(candidates=[], complete=True)
    found = peek(seal(acme.client, body, "s9", acme.edge.urn, PRINT, now))
    assert found is not None
    assert (found.session, found.kind, found.fingerprint) == ("s9", "candidates", PRINT)
