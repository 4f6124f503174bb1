"""When a process is started again, and when it is taken for hanging. Free of I/O: seconds of a monotonic clock in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds. `silence`: without a sign of life; `start`: until the first one; `settled`: after so long a failure is no
    longer the consequence of the one before."""

    silence: float = 20.0
    start: float = 120.0
    pause: float = 0.2
    longest_pause: float = 30.0
    settled: float = 60.0


STOPPED, BAD_SETTINGS = 0, 2
ASLEEP = 5.0
"""Between two looks: then it was us who did not run (a machine that was suspended, a frozen container)."""


class Supervision:
    """`started`, `heard`, `ended` are told; `hangs` is asked about every second."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._began = self._last = self._looked = 0.0
        self._heard = self._ready = self._was_ready = False
        self._failures = 0

    def started(self, now: float) -> None:
        self._began = self._last = self._looked = now
        self._heard = self._ready = False

    def heard(self, now: float, *, ready: bool = False) -> None:
        self._heard, self._last = True, now
        self._ready = self._ready or ready
        self._was_ready = self._was_ready or ready

    def hangs(self, now: float) -> bool:
        asleep, self._looked = now - self._looked, now
        if asleep > ASLEEP:
            self._last += asleep
        return now - self._last > (self._limits.silence if self._heard else self._limits.start)

    def ended(self, now: float, code: int) -> float | None:
        """Seconds until the next start; None when there is to be none: it was told to stop, or never came up, and has
        said why. `code` is negative for a signal."""
        if code in (STOPPED, BAD_SETTINGS) or (code > 0 and not self._was_ready):
            return None
        self._failures = 0 if self._ready and now - self._began >= self._limits.settled else self._failures
        pause = min(self._limits.longest_pause, self._limits.pause * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return pause
