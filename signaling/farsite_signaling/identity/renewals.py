"""Proof for the renewal of a certificate: a JWS (ES256) by the current key over the new request."""

from __future__ import annotations

import hashlib

import jwt

from farsite_signaling.identity.identity import Identity
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS

RENEWAL_TYPE = "farsite-renewal+jwt"
RENEWAL_AUDIENCE = "farsite-renewal"


def sign_renewal(identity: Identity, csr: str, now: float) -> str:
    claims = {"iss": identity.urn, "aud": RENEWAL_AUDIENCE, "iat": int(now), "csr": _digest(csr)}
    return jwt.encode(claims, identity.key, algorithm="ES256", headers={"typ": RENEWAL_TYPE})


def verify_renewal(token: str, key: PublicKey, *, name: str, csr: str, now: float) -> None:
    """Raises `FarsiteError`: `signature_invalid`, or `clock_skew` with the seconds between the clocks."""
    claims = _decode(token, key)
    if claims.get("iss") != name or claims.get("csr") != _digest(csr):
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The proof is for another name or request.")
    issued = claims.get("iat")
    if not isinstance(issued, int):
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The proof does not say when it was made.")
    if abs(now - issued) > LEEWAY_SECONDS:
        raise FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"The proof's time is {issued - now:+.0f} s off the cloud's. Set the edge host's clock (NTP).",
        )


def _decode(token: str, key: PublicKey) -> dict[str, object]:
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    try:
        if jwt.get_unverified_header(token).get("typ") != RENEWAL_TYPE:
            raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "Not a proof for a renewal.")
        return dict(
            jwt.decode(token, key, algorithms=["ES256"], audience=RENEWAL_AUDIENCE, options=options)  # type: ignore[arg-type]
        )
    except jwt.PyJWTError:
        raise FarsiteError(
            ErrorCode.SIGNATURE_INVALID, "The proof is not signed by the certificate's key."
        ) from None


def _digest(csr: str) -> str:
    return hashlib.sha256(csr.encode()).hexdigest()
