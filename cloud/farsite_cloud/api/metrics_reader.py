"""Who may read `/metrics`: whoever shows the operator's token, or programs of a machine that serves nobody else.

Routes, rates and outcomes tell a stranger what is worth an attack and whether it works.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# What proxies add: whoever asked is somewhere else.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def check_reader(settings: CloudSettings, headers: Mapping[str, str]) -> None:
    """Raises `unauthenticated`, or `forbidden` where no token was set."""
    if settings.metrics_token is not None:
        _check_token(settings.metrics_token.get_secret_value(), headers.get("Authorization", ""))
    elif not settings.local_only or any(name in headers for name in _FORWARDED):
        detail = (
            "Metrics are for this cloud's operator: set FARSITE_METRICS_TOKEN, and show it as a bearer token."
        )
        raise FarsiteError(ErrorCode.FORBIDDEN, detail)


def _check_token(token: str, given: str) -> None:
    kind, _, shown = given.partition(" ")
    same = hmac.compare_digest(shown.strip().encode(errors="surrogateescape"), token.encode())
    if not (same and kind.lower() == "bearer"):
        detail = "Show the token of this cloud's metrics: Authorization: Bearer …"
        raise FarsiteError(ErrorCode.UNAUTHENTICATED, detail)
