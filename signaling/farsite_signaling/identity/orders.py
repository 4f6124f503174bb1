"""Signing and verifying orders of work (JWS, ES256), with the key that grants are signed with."""

from __future__ import annotations

import jwt
from pydantic import ValidationError

from farsite_signaling.identity.keys import PrivateKey, PublicKey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS
from farsite_signaling.wire.work import ORDER_TYPE, Order


def sign_order(key: PrivateKey, order: Order) -> str:
    claims = order.model_dump(mode="json", exclude_none=True)
    claims["rights"] = sorted(claims["rights"])
    return jwt.encode(claims, key, algorithm="ES256", headers={"typ": ORDER_TYPE})


def verify_order(token: str, key: PublicKey, *, audience: str, now: float) -> Order:
    """The order, if this key signed it for this edge host (`audience`). `exp` is the caller's to judge: an order that is
    known already may be changed after it.

    Raises `FarsiteError`: `grant_invalid`, `clock_skew` (with the seconds).
    """
    order = _decode(token, key)
    if order.aud != audience:
        raise FarsiteError(ErrorCode.GRANT_INVALID, "The order is for another edge host.")
    ahead = order.iat - now
    if ahead > LEEWAY_SECONDS:
        raise FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"The order was made {ahead:.0f} s in the future: this edge host's clock is that far behind the cloud's. "
            "Set its clock (NTP).",
        )
    return order


def _decode(token: str, key: PublicKey) -> Order:
    options = {"verify_signature": True, "verify_exp": False, "verify_nbf": False}
    options |= {"verify_iat": False, "verify_aud": False, "verify_sub": False, "verify_iss": False}
    try:
        if jwt.get_unverified_header(token).get("typ") != ORDER_TYPE:
            raise FarsiteError(ErrorCode.GRANT_INVALID, "Not an order.")
        claims = jwt.decode(token, key, algorithms=["ES256"], options=options)  # type: ignore[arg-type]
        return Order.model_validate(claims)
    except (jwt.PyJWTError, ValidationError):
        raise FarsiteError(
            ErrorCode.GRANT_INVALID, "The order is not signed by this organization's cloud."
        ) from None
