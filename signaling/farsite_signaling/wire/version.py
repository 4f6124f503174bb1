"""Protocol version of signaling and tunnel, with its history.

Servers are updated first: a hub speaks every version from `MINIMUM_VERSION` to `PROTOCOL_VERSION`,
a peer offers all it speaks and the highest common one is used.
"""

from __future__ import annotations

from collections.abc import Iterable

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PROTOCOL_VERSION = 1
MINIMUM_VERSION = 1

HISTORY: dict[int, tuple[str, str]] = {
    1: ("2026-11-23", "First version: hub messages, sealed envelopes, tunnel frames."),
}


def supported_versions() -> list[int]:
    """All versions this build speaks, ascending."""
    return list(range(MINIMUM_VERSION, PROTOCOL_VERSION + 1))


def negotiate(offered: Iterable[int], *, here: str = "this side", there: str = "the connecting side") -> int:
    """Highest version both sides speak.

    Raises `FarsiteError` with `version_unsupported`, saying which side to update. The refused side reads it too:
    `here` and `there` name the sides so that both understand the same.
    """
    theirs = set(offered)
    common = theirs & set(supported_versions())
    if common:
        return max(common)
    spoken = ", ".join(str(version) for version in sorted(theirs)) or "none"
    older = bool(theirs) and max(theirs) < MINIMUM_VERSION
    side = there if older or not theirs else here
    raise FarsiteError(
        ErrorCode.VERSION_UNSUPPORTED,
        f"Protocol versions offered: {spoken}; spoken by {here}: {MINIMUM_VERSION} to {PROTOCOL_VERSION}. "
        f"Update {side}.",
    )
