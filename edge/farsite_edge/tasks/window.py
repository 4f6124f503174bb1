"""Update windows: open or not, in a time zone that has summer time; free of I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from farsite_signaling.wire.edge_tasks import DAYS, UpdateWindow


def is_open(window: UpdateWindow, now: datetime, site: tzinfo) -> bool:
    """`now` is aware; `site` is the zone of a window that names none."""
    return any(begin <= now < end for begin, end in _around(window, now, site))


def next_opening(window: UpdateWindow, now: datetime, site: tzinfo) -> datetime:
    """The first opening after `now`, in UTC."""
    return min(begin for begin, _ in _around(window, now, site) if begin > now)


def _around(window: UpdateWindow, now: datetime, site: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    """Openings from yesterday to next week, in UTC: local times at which clocks jump are what they are by then."""
    zone = ZoneInfo(window.time_zone) if window.time_zone else site
    today = now.astimezone(zone).date()
    for offset in range(-1, 9):
        day = today + timedelta(days=offset)
        if window.days and DAYS[day.weekday()] not in window.days:
            continue
        last = day if window.end > window.start else day + timedelta(days=1)
        begin = datetime.combine(day, window.start, zone)
        end = datetime.combine(last, window.end, zone)
        yield begin.astimezone(UTC), end.astimezone(UTC)
