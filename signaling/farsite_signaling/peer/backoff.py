"""Waiting between attempts: exponential with full jitter, so that many peers do not come back at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays in seconds, each drawn evenly from zero to a ceiling that doubles from `first` to `cap`.

    The first `eager` delays stay below `eager_cap`: what restarts is away for seconds, and is not waited for longer
    than that; what is away for longer is asked more rarely. `stretch` makes all but `cap` longer: for one of many.
    """

    def __init__(
        self,
        first: float = 0.2,
        cap: float = 10.0,
        draw: Callable[[float, float], float] = random.uniform,
        *,
        eager: int = 0,
        eager_cap: float = 0.0,
    ) -> None:
        self._first = first
        self._cap = cap
        self._draw = draw
        self._eager = eager
        self._eager_cap = eager_cap
        self._count = 0
        self._ceiling = 0.0
        self.stretch = 1.0

    def next(self) -> float:
        self._ceiling = min(self._cap_now, 2 * self._ceiling or self._first * self.stretch)
        self._count += 1
        return self._draw(0.0, self._ceiling)

    @property
    def _cap_now(self) -> float:
        return min(self._cap, self._eager_cap * self.stretch) if self._count < self._eager else self._cap

    def reset(self) -> None:
        self._count = 0
        self._ceiling = 0.0
