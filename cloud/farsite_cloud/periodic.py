"""A duty that is due once in a while."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from farsite_cloud.sweeper import Duty


def every(
    seconds: float, work: Callable[[], Awaitable[None]], now: Callable[[], float] = time.monotonic
) -> Duty:
    """At once, then so many seconds after it was begun; what fails is done again next time."""
    due = now()

    async def duty() -> bool:
        nonlocal due
        if now() < due:
            return False
        due = now() + seconds
        await work()
        return False

    return duty
