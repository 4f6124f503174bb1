"""Update windows: open or not, in a time zone that has summer time; free of I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from farsite_signaling.wire.edge_tasks import DAYS, UpdateWindow


def is_open(window: UpdateWindow, now: datetime, site: tzinfo) -> bool:
    """`now` is aware; `site` is the zone of a window that names none."""
    return any(begin <= now < end for begin, end in _around(window, now, site))


def next_opening(window: UpdateWindow, now: datetime, site: tzinfo) -> datetime:
    """The first opening after `now`, in UTC."""
    return min(begin for begin, _ in _around(window, now, site) if begin > now)


def _around(window: UpdateWindow, now: datetime, site: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    """Openings from yesterday to next week, in UTC."""
    zone = ZoneInfo(window.time_zone) if window.time_zone else site
    today = now.astimezone(zone).date()
    for offset in range(-1, 9):
        day = today + timedelta(days=offset)
        if window.days and DAYS[day.weekday()] not in window.days:
            continue
        last = day if window.end > window.start else day + timedelta(days=1)
        begin, end = _moment(day, window.start, zone), _moment(last, window.end, zone)
        if begin < end:
            yield begin, end


def _moment(day: date, clock: time, zone: tzinfo) -> datetime:
    """A local time in UTC. One that is skipped when clocks are set forward is the moment at which they are; of one
    that comes twice it is the first."""
    local = datetime.combine(day, clock, zone)
    early, late = (local.replace(fold=fold).astimezone(UTC) for fold in (1, 0))
    if early >= late:  # it exists
        return late
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
