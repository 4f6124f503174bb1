"""Proofs of an edge host towards its cloud: a JWS (ES256) by the key of its current certificate.

For a renewal the proof is over the new request, for credentials to check relays with it says no more than who and when.
"""

from __future__ import annotations

import hashlib

import jwt

from farsite_signaling.identity.identity import Identity
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS

RENEWAL_TYPE = "farsite-renewal+jwt"
RENEWAL_AUDIENCE = "farsite-renewal"
DEVICE_TYPE = "farsite-device-certificate+jwt"
DEVICE_AUDIENCE = "farsite-device-certificate"
RELAY_CHECK_TYPE = "farsite-relay-check+jwt"
RELAY_CHECK_AUDIENCE = "farsite-relay-check"


def sign_renewal(identity: Identity, csr: str, now: float) -> str:
    return _sign(identity, RENEWAL_TYPE, RENEWAL_AUDIENCE, now, {"csr": _digest(csr)})


def verify_renewal(token: str, key: PublicKey, *, name: str, csr: str, now: float) -> None:
    """Raises `FarsiteError`: `signature_invalid`, or `clock_skew` with the seconds between the clocks."""
    claims = _decode(token, key, RENEWAL_TYPE, RENEWAL_AUDIENCE)
    if claims.get("csr") != _digest(csr):
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The proof is for another name or request.")
    _check(claims, name, now)


def sign_device_request(identity: Identity, text: str, now: float) -> str:
    return _sign(identity, DEVICE_TYPE, DEVICE_AUDIENCE, now, {"request": _digest(text)})


def verify_device_request(token: str, key: PublicKey, *, name: str, text: str, now: float) -> None:
    """Raises as `verify_renewal`."""
    claims = _decode(token, key, DEVICE_TYPE, DEVICE_AUDIENCE)
    if claims.get("request") != _digest(text):
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The proof is for another request.")
    _check(claims, name, now)


def sign_relay_check(identity: Identity, now: float) -> str:
    return _sign(identity, RELAY_CHECK_TYPE, RELAY_CHECK_AUDIENCE, now, {})


def verify_relay_check(token: str, key: PublicKey, *, name: str, now: float) -> None:
    """Raises as `verify_renewal`."""
    _check(_decode(token, key, RELAY_CHECK_TYPE, RELAY_CHECK_AUDIENCE), name, now)


def _sign(identity: Identity, kind: str, audience: str, now: float, more: dict[str, str]) -> str:
    claims = {"iss": identity.urn, "aud": audience, "iat": int(now), **more}
    return jwt.encode(claims, identity.key, algorithm="ES256", headers={"typ": kind})


def _check(claims: dict[str, object], name: str, now: float) -> None:
    if claims.get("iss") != name:
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The proof is for another name or request.")
    issued = claims.get("iat")
    if not isinstance(issued, int):
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The proof does not say when it was made.")
    if abs(now - issued) > LEEWAY_SECONDS:
        raise FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"The proof's time is {issued - now:+.0f} s off the cloud's. Set the edge host's clock (NTP).",
        )


def _decode(token: str, key: PublicKey, kind: str, audience: str) -> dict[str, object]:
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    try:
        if jwt.get_unverified_header(token).get("typ") != kind:
            raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The proof is for something else.")
        return dict(
            jwt.decode(token, key, algorithms=["ES256"], audience=audience, options=options)  # type: ignore[arg-type]
        )
    except jwt.PyJWTError:
        raise FarsiteError(
            ErrorCode.SIGNATURE_INVALID, "The proof is not signed by the certificate's key."
        ) from None


def _digest(csr: str) -> str:
    return hashlib.sha256(csr.encode()).hexdigest()
