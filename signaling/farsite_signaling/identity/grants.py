"""Signing and verifying grants (JWS, ES256)."""

from __future__ import annotations

from collections.abc import Callable

import jwt
from pydantic import ValidationError

from farsite_signaling.identity.keys import PrivateKey, PublicKey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import GRANT_TYPE, LEEWAY_SECONDS, Grant


def sign_grant(key: PrivateKey, grant: Grant) -> str:
    claims = grant.model_dump(mode="json", exclude_none=True)
    claims["rights"] = sorted(claims["rights"])
    return jwt.encode(claims, key, algorithm="ES256", headers={"typ": GRANT_TYPE})


def verify_grant(
    token: str,
    key: PublicKey,
    *,
    audience: str,
    subject: str,
    now: float,
    opened: Callable[[str], bool] = lambda _session: False,
) -> Grant:
    """The grant, if this key signed it for this edge host (`audience`) and client (`subject`). `opened` tells whether
    its session was opened in time: `exp` says nothing about those any more, `until` is the caller's to check.

    Raises `FarsiteError`: `grant_invalid`, `grant_expired`, `clock_skew` (with the seconds).
    """
    grant = _decode(token, key)
    if grant.aud != audience or grant.sub != subject:
        raise FarsiteError(ErrorCode.GRANT_INVALID, "The grant is for another edge host or client.")
    _check_times(grant, now, opened=opened(grant.sid))
    return grant


def _decode(token: str, key: PublicKey) -> Grant:
    # Times and names are checked by our own code, which says what is wrong in the user's words.
    options = {"verify_signature": True, "verify_exp": False, "verify_nbf": False}
    options |= {"verify_iat": False, "verify_aud": False, "verify_sub": False, "verify_iss": False}
    try:
        if jwt.get_unverified_header(token).get("typ") != GRANT_TYPE:
            raise FarsiteError(ErrorCode.GRANT_INVALID, "Not a grant.")
        claims = jwt.decode(token, key, algorithms=["ES256"], options=options)  # type: ignore[arg-type]
        return Grant.model_validate(claims)
    except (jwt.PyJWTError, ValidationError):
        raise FarsiteError(
            ErrorCode.GRANT_INVALID, "The grant is not signed by this organization's cloud."
        ) from None


def _check_times(grant: Grant, now: float, *, opened: bool) -> None:
    ahead = grant.nbf - now
    if ahead > LEEWAY_SECONDS:
        raise FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"The grant was issued {ahead:.0f} s in the future: the edge host's clock is that far behind "
            "the cloud's. Set the edge host's clock (NTP) and try again.",
        )
    late = now - grant.exp
    if late > LEEWAY_SECONDS and not opened:
        raise FarsiteError(
            ErrorCode.GRANT_EXPIRED,
            f"The grant expired {late:.0f} s ago by the edge host's clock. Open a new session; if that fails "
            f"too, the edge host's clock is about {now - grant.iat:.0f} s ahead of the cloud's: set it (NTP).",
        )
