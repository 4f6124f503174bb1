"""Where licences hold something back: work that changes devices, once the grace is over."""

from __future__ import annotations

from farsite_cloud.api.call import Call
from farsite_cloud.licences.counting import Standing
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import CHANGES_DEVICES, Right

_FREE = ("GET", "HEAD", "DELETE")
# What gets an organization out of having too few, or takes work back, is never held up.
_ALWAYS = ("/cancel", "/pause", "/tags")


async def check_licence(call: Call, right: Right, method: str, path: str) -> None:
    """Raises `licence_expired` where a route would change devices and may not."""
    if right not in CHANGES_DEVICES or method in _FREE or path.endswith(_ALWAYS):
        return
    standing = await standing_of(call)
    if not standing.changes_allowed:
        standing = await _anew(call)
    if not standing.changes_allowed:
        raise expired(standing)


async def demand_licence(call: Call, edge_id: str) -> None:
    """Of one edge host: it may have all it needs while others do not. Raises `licence_expired`."""
    standing = await standing_of(call)
    if not standing.may_change(edge_id):
        standing = await _anew(call)
    if not standing.may_change(edge_id):
        raise expired(standing)


async def _anew(call: Call) -> Standing:
    """Nobody is refused by what is remembered: a licence may have been redeemed on another process just now."""
    return await call.services.licensing.evaluate(call.whole, call.organization, call.now)


async def standing_of(call: Call) -> Standing:
    return await call.services.licensing.standing(call.whole, call.organization, call.now)


def expired(standing: Standing) -> FarsiteError:
    since = f" since {standing.grace_until:%Y-%m-%d}" if standing.grace_until else ""
    detail = (
        f"The organization's licences do not cover its devices, and the time to get more is over{since}: devices are "
        "seen, and not changed. Redeem a licence (farsite licences redeem KEY), or remove devices."
    )
    return FarsiteError(ErrorCode.LICENCE_EXPIRED, detail)
