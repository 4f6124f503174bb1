"""Waiting between attempts: exponential with full jitter, so that many peers do not come back at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays in seconds, each drawn evenly from zero to a ceiling that doubles from `first` to `cap`."""

    def __init__(
        self, first: float = 0.2, cap: float = 10.0, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._first = first
        self._cap = cap
        self._draw = draw
        self._ceiling = first

    def next(self) -> float:
        delay = self._draw(0.0, self._ceiling)
        self._ceiling = min(self._cap, self._ceiling * 2)
        return delay

    def reset(self) -> None:
        self._ceiling = self._first
