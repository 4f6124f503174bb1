"""Answers to challenges, without a network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_edge.vapix.authentication import (
    Authenticator,
    Challenge,
    Credentials,
    digest_header,
    parse_challenges,
    realm_serial,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

DIGEST = 'Digest realm="AXIS_ACCC8E010203", nonce="n1", algorithm=MD5, qop="auth"'
BASIC = 'Basic realm="AXIS_ACCC8E010203"'
ROOT = Credentials("root", "pass")


def test_the_example_of_rfc_2617() -> None:
    challenge = Challenge(
        "digest",
        {
            "realm": "testrealm@host.com",
            "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "qop": "auth,auth-int",
            "opaque": "5ccc069c403ebaf9f0171e9517f40e41",
        },
    )
    header = digest_header(
        Credentials("Mufasa", "Circle Of Life"), challenge, "GET", "/dir/index.html", 1, "0a4f113b"
    )
    assert 'response="6629fae49393a05397450978507c4ef1"' in header
    assert "nc=00000001" in header
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in header


def test_the_example_of_rfc_7616_with_sha_256() -> None:
    challenge = Challenge(
        "digest",
        {
            "realm": "http-auth@example.org",
            "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "qop": "auth, auth-int",
            "algorithm": "SHA-256",
        },
    )
    client_nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    header = digest_header(
        Credentials("Mufasa", "Circle of Life"), challenge, "GET", "/dir/index.html", 1, client_nonce
    )
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in header


def test_several_challenges_in_one_header() -> None:
    found = parse_challenges([f"{BASIC}, {DIGEST}", "Negotiate", "Digest"])
    assert [challenge.scheme for challenge in found] == ["basic", "digest", "digest"]
    assert found[1].values["nonce"] == "n1"


def test_the_realm_tells_the_serial_number() -> None:
    assert realm_serial([DIGEST]) == "ACCC8E010203"
    assert realm_serial(['Basic realm="Router"', "Bearer"]) is None


def test_nothing_is_sent_before_the_device_asks() -> None:
    assert Authenticator(ROOT, secure=True).first("GET", "/") is None


def test_digest_is_preferred() -> None:
    header, chosen = Authenticator(ROOT, secure=True).answer([BASIC, DIGEST], "GET", "/", tried=False)
    assert header.startswith("Digest ")
    assert chosen.scheme == "digest"


def test_basic_never_goes_over_plain_http_unless_allowed() -> None:
    with pytest.raises(FarsiteError, match="plain HTTP") as caught:
        Authenticator(ROOT, secure=False).answer([BASIC], "GET", "/", tried=False)
    assert caught.value.code is ErrorCode.DEVICE_CREDENTIALS
    header, _ = Authenticator(ROOT, secure=False, allow_basic_http=True).answer(
        [BASIC], "GET", "/", tried=False
    )
    assert header == "Basic cm9vdDpwYXNz"


def test_a_refused_password_is_not_tried_again() -> None:
    authenticator = Authenticator(ROOT, secure=False)
    with pytest.raises(FarsiteError, match="not tried again"):
        authenticator.answer([DIGEST], "GET", "/", tried=True)


def test_a_stale_nonce_is_replaced() -> None:
    authenticator = Authenticator(ROOT, secure=False)
    header, _ = authenticator.answer([DIGEST.replace("n1", "n2") + ", stale=true"], "GET", "/", tried=True)
    assert 'nonce="n2"' in header


def test_a_challenge_that_worked_is_reused_with_a_growing_count() -> None:
    authenticator = Authenticator(ROOT, secure=False)
    _, chosen = authenticator.answer([DIGEST], "GET", "/", tried=False)
    authenticator.accepted(chosen)
    assert "nc=00000002" in (authenticator.first("GET", "/") or "")
    assert "nc=00000003" in (authenticator.first("GET", "/") or "")


def test_servers_without_qop_are_asked_each_time() -> None:
    authenticator = Authenticator(ROOT, secure=False)
    header, chosen = authenticator.answer(['Digest realm="AXIS_X", nonce="n"'], "GET", "/", tried=False)
    assert "qop" not in header
    authenticator.accepted(chosen)
    assert authenticator.first("GET", "/") is None


@pytest.mark.parametrize(
    "header", ["", "NTLM", 'Digest realm="x", nonce="y", algorithm=MD5-NEW', 'Digest nonce=""']
)
def test_an_unknown_challenge_is_a_bad_answer(header: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        Authenticator(ROOT, secure=True).answer([header], "GET", "/", tried=False)
    assert caught.value.code is ErrorCode.DEVICE_ANSWER


def test_a_password_is_not_shown() -> None:
    assert "pass" not in repr(ROOT)


@given(st.lists(st.text(max_size=200) | st.text(max_size=60).map(lambda text: f"Digest {text}"), max_size=4))
def test_any_challenge_gives_one_safe_header_or_a_farsite_error(headers: list[str]) -> None:
    try:
        header, _ = Authenticator(ROOT, secure=True).answer(headers, "GET", "/x?y=1", tried=False)
    except FarsiteError:
        return
    assert "\r" not in header
    assert "\n" not in header
