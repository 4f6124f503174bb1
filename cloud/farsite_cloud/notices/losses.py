"""When losing devices is one event of a site, and when it is over. Facts and times in, decisions out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from farsite_signaling.wire.notices_api import FEWEST_DEVICES

WINDOW = timedelta(minutes=10)
"""What is lost within so long of one another went together: an edge host takes minutes to look at all its devices."""
_SHARE = 5
"""Of a small site one device in so many is much."""


@dataclass(frozen=True)
class Outage:
    """Devices that went together: since the first of them (`began`) and the last (`until`), how many."""

    began: datetime
    until: datetime
    lost: int

    def left(self, since: Iterable[datetime]) -> int:
        """How many of them are unreachable still. One that was back in between is not counted again."""
        return sum(self.began <= moment <= self.until for moment in since)

    def is_over(self, left: int) -> bool:
        """Nine of ten are back; of a few all, or all but one or two: single cameras often do not survive it."""
        return left <= max(self.lost // 10, min(FEWEST_DEVICES - 1, self.lost // 4))

    def grown(self, since: Iterable[datetime]) -> Outage:
        """With what was lost meanwhile."""
        together = [moment for moment in since if moment >= self.began]
        if not together:
            return self
        return Outage(self.began, max(self.until, *together), max(self.lost, len(together)))


def threshold(devices: int, most: int) -> int:
    """How many of a site's `devices` are many: a fifth, but no fewer than three and no more than `most`."""
    return max(FEWEST_DEVICES, min(most, -(-devices // _SHARE)))


def begun(
    since: Iterable[datetime], devices: int, most: int, now: datetime, after: datetime | None = None
) -> Outage | None:
    """The outage that has just become one, if any.

    `since`: when each unreachable device was lost, of a site with so many `devices`; those lost up to `after` belong to
    an outage before.
    """
    start = now - WINDOW
    fresh = [moment for moment in since if moment >= start and (after is None or moment > after)]
    if len(fresh) < threshold(devices, most):
        return None
    return Outage(min(fresh), max(fresh), len(fresh))
