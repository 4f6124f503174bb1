"""The site's time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class MachineZone(tzinfo):
    """This machine's zone, summer time included, whatever it is set to."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


def site_zone(name: str) -> tzinfo:
    """Raises `setting_invalid`."""
    if not name:
        return MachineZone()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise FarsiteError(
            ErrorCode.SETTING_INVALID,
            f"time_zone: no time zone is called {name[:64]!r}; write it like Europe/Stockholm.",
        ) from None
