"""How many wrong passwords a device may see; free of I/O.

Devices that defend themselves block a caller for some seconds after 20 wrong answers within a second (VAPIX system
settings, `System.PreventDoSAttack`), and administrators make that stricter. We stay far below.
"""

from __future__ import annotations

from collections.abc import Iterable

RULES = ((60.0, 5), (900.0, 15))
"""(seconds, refused attempts that may lie within them)"""


class Attempts:
    """`interval`: least seconds between two attempts on one device."""

    def __init__(self, interval: float) -> None:
        self._interval = interval

    def wait(self, refused: Iterable[float], last: float | None, now: float) -> float:
        """Seconds until the next attempt; 0: now. `refused` are the times of refusals, `last` that of the last."""
        # A clock that was set back must not lock anybody out for long.
        times = sorted(min(at, now) for at in refused)
        waits = [0.0 if last is None else min(last, now) + self._interval - now]
        for seconds, most in RULES:
            within = [at for at in times if at > now - seconds]
            if len(within) >= most:
                waits.append(within[-most] + seconds - now)
        return max(0.0, *waits)
