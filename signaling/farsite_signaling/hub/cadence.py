"""When peers that idle ping next. No I/O, no clock.

Of the time that a ping costs a server with nothing else to do most goes into waking up, and into fetching what others
have pushed out of the caches meanwhile: ten that come together cost a third of what ten cost that come one by one. So
many peers are asked to ping in step.
"""

from __future__ import annotations

import math

STEP = 1.0
"""Seconds."""
CLOSE = 0.02
"""What networks and timers are early or late by anyhow, seconds."""
_SAME = 0.1
"""Another interval than is wanted is borne within this share of it."""


def steady(current: float, wanted: float) -> float | None:
    """The interval to tell a peer that goes by `current`, None when it is near enough to what is `wanted`."""
    return None if abs(wanted - current) < _SAME * wanted else wanted


def in_step(current: float, wanted: float, now: float) -> float | None:
    """The same for one of many, whose ping came `now` (seconds of a clock that is the same for all of them).

    One that is out of step gets an interval of its own, after which it is in step, and then a multiple of `STEP` again.
    """
    near = abs(wanted - current) < _SAME * wanted
    interval = STEP * (round(current / STEP) if near else math.ceil(wanted / STEP))
    late = (now + STEP / 2) % STEP - STEP / 2
    if abs(late) > CLOSE:
        return round(interval - late, 3)
    return None if interval == current else interval
