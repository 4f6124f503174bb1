"""How long a sign-in lasts: unused, and at all. Decisions only: times come in, ends go out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

if TYPE_CHECKING:
    from farsite_cloud.settings import CloudSettings

VOUCHED = timedelta(days=7)
"""Whoever is no longer known to their identity provider is asked again after this."""
_AGAIN = "Sign in again (farsite login)."


@dataclass(frozen=True)
class Stay:
    """`idle`: without use. `longest`: however much it is used."""

    idle: timedelta = timedelta(days=14)
    longest: timedelta = timedelta(days=90)

    @classmethod
    def of(cls, settings: CloudSettings) -> Stay:
        return cls(timedelta(days=settings.sign_in_idle_days), timedelta(days=settings.sign_in_days))

    def shortened(self, idle_days: int | None, days: int | None) -> Stay:
        """What an organization asks for counts where it is shorter."""
        return Stay(
            self.idle if idle_days is None else min(self.idle, timedelta(days=idle_days)),
            self.longest if days is None else min(self.longest, timedelta(days=days)),
        )


@dataclass(frozen=True)
class Ends:
    """Of one sign-in: `unused` unless it is used before then, `at_last` in any case."""

    unused: datetime
    at_last: datetime
    stay: Stay

    @property
    def first(self) -> datetime:
        return min(self.unused, self.at_last)

    def check(self, now: datetime) -> None:
        """Raises `token_expired`, which says why."""
        if self.at_last <= now:
            raise FarsiteError(ErrorCode.TOKEN_EXPIRED, f"Your sign-in has expired. {_AGAIN}")
        if self.unused <= now:
            detail = f"You were signed out after {_days(self.stay.idle)} without use. {_AGAIN}"
            raise FarsiteError(ErrorCode.TOKEN_EXPIRED, detail)


def ends_of(created_at: datetime, used_at: datetime | None, expires_at: datetime, stay: Stay) -> Ends:
    """`used_at` may be some minutes late."""
    used = created_at if used_at is None else max(created_at, used_at)
    return Ends(used + stay.idle, min(expires_at, created_at + stay.longest), stay)


def _days(time: timedelta) -> str:
    return "a day" if time.days == 1 else f"{time.days} days"
