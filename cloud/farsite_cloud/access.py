"""Who was let in a moment ago, and as what: so that reading does not ask the database for it again and again.

What is kept here is good for `FRESH` seconds at most, whatever happens. It is forgotten at once, and all of it, when
anything that it follows from was changed by this process (`database/watching.py` sees every statement), and by another
one that can be reached through Redis before that one answers. Only who was let in is kept, never who was not; what
changes anything asks the database (`api/authorize.py`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farsite_cloud.accounts.tokens import Caller
    from farsite_cloud.organizations.entrance import Entrance

FRESH = 2.0
MOST = 10_000
FOLLOWS_FROM = frozenset(
    {"accounts", "tokens", "organizations", "memberships", "folder_access", "support_access"}
)
"""Tables that sign-ins, roles and reaches are read from."""


@dataclass(frozen=True, slots=True)
class Known:
    """`entrances`: by organization."""

    until: float
    caller: Caller
    entrances: dict[str, Entrance]


async def _nobody_else() -> None:
    """There is one process."""


class Access:
    """`tell`: makes the other processes forget, and returns when they have or cannot be reached."""

    def __init__(self, fresh: float = FRESH) -> None:
        self.tell: Callable[[], Awaitable[None]] = _nobody_else
        self._fresh = fresh
        self._known: dict[str, Known] = {}

    def forget(self) -> None:
        """Whoever is reading right now adds to what is thrown away here, and not to what is kept from now on."""
        self._known = {}

    def look(self, digest: str, now: datetime) -> Known | None:
        """By the digest of a token's secret."""
        known = self._known.get(digest)
        if known is None or known.until < time.monotonic():
            return None
        expires, unused = known.caller.expires_at, known.caller.unused_until
        ended = expires is None or expires <= now or (unused is not None and unused <= now)
        return None if ended else known

    def keeper(self, digest: str) -> Callable[[Caller], Known]:
        """Ask for it before the database is read: what is forgotten meanwhile stays forgotten."""
        place = self._known

        def keep(caller: Caller) -> Known:
            if len(place) >= MOST:
                place.clear()
            known = place[digest] = Known(time.monotonic() + self._fresh, caller, {})
            return known

        return keep
