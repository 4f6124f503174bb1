"""Whether a device takes an image, as far as only the device knows."""

from __future__ import annotations

from farsite_edge.axis_os.exchange import Info
from farsite_edge.axis_os.plan import Plan
from farsite_signaling.wire.os_versions import parse

SIGNED_ONLY = (13,)
"""From here on apps need a signature."""


def unfit(info: Info, plan: Plan, version: str) -> str | None:
    """Why `version` is not sent to it: something that has changed since the plan was made, or only the device knows."""
    if info.model and info.model.casefold() != plan.model.casefold():
        return f"The device is a {info.model}, not the {plan.model} the image is for."
    newer = parse(info.version) > parse(version)
    if newer and plan.factory_default == "none":
        return f"It runs {info.version}, which is newer than {version}."
    limited = parse(info.version) >= (11, 6) or (10, 12) <= parse(info.version) < (11,)
    if limited and "artpec-8" in info.soc.casefold() and parse(version) < (10, 12):
        return f"Products with {info.soc} take nothing older than 10.12 once they run {info.version}."
    # Seen before the first step of the way, not on the last one.
    if info.unsigned and parse(plan.target) >= SIGNED_ONLY and plan.factory_default == "none":
        return (
            f"AXIS OS {plan.target} goes back by itself when it meets apps without a signature: "
            f"{', '.join(info.unsigned)[:200]}. Remove them, or install signed ones first."
        )
    return None
