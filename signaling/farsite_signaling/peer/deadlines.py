"""Timers of a tunnel: its session's next deadline, and how long it waits for another link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `tick(now)` when `next_deadline` is due.

    A deadline that moves later is looked at only when the timer fires: moving is frequent and firing early is cheap.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        next_deadline: Callable[[], float | None],
        tick: Callable[[float], None],
    ) -> None:
        self._loop = loop
        self._next_deadline = next_deadline
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Anew: the deadline may be nearer than before."""
        self.cancel()
        due = self._next_deadline()
        if due is not None:
            self._timer = self._loop.call_at(due, self._fire)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._tick(self._loop.time())


class Patience:
    """Calls `give_up` after some seconds, unless this machine slept through them: then it waits `grace` more."""

    OVERSLEPT = 2.0
    """Firing later than due by more than this means that the machine slept, seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, grace: float) -> None:
        self._loop = loop
        self._grace = grace
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float, give_up: Callable[[], None]) -> None:
        self.stop()
        due = self._loop.time() + seconds
        self._timer = self._loop.call_at(due, self._fire, due, give_up)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, due: float, give_up: Callable[[], None]) -> None:
        if self._loop.time() > due + self.OVERSLEPT:
            self.start(self._grace, give_up)
        else:
            give_up()
