"""How much had arrived when, and what can be read from that."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

WINDOW = 0.25
"""Seconds over which a rate is taken."""
STEP = 0.02
MAX_START_UP = 3.0
"""Seconds after which a transfer counts as steady, whatever it has reached."""


@dataclass(frozen=True)
class Timeline:
    """`samples`: (monotonic time, bytes so far), ascending. `begin`: when the sender was told to send."""

    begin: float
    samples: list[tuple[float, int]]

    @property
    def end(self) -> float:
        """When the last byte came."""
        return self.samples[-1][0] if self.samples else self.begin

    @property
    def total(self) -> int:
        return self.samples[-1][1] if self.samples else 0

    def at(self, moment: float) -> float:
        """Bytes by then; between samples, as if they came evenly."""
        position = bisect_right(self.samples, moment, key=lambda sample: sample[0])
        if position == len(self.samples):
            return self.total
        before, after = (self.begin, 0), self.samples[position]
        if position > 0:
            before = self.samples[position - 1]
        if after[0] <= before[0] or moment <= before[0]:
            return before[1]
        return before[1] + (after[1] - before[1]) * (moment - before[0]) / (after[0] - before[0])

    def mbit(self, begin: float, end: float) -> float:
        """Goodput between two moments."""
        return (self.at(end) - self.at(begin)) * 8 / 1e6 / (end - begin) if end > begin else 0.0

    def reaches(self, mbit: float, *, after: float | None = None) -> float | None:
        """Seconds after `after` (the beginning) from which a whole window runs at `mbit`; None: never does."""
        start = self.begin if after is None else after
        moment = start
        while moment + WINDOW <= self.end:
            if self.mbit(moment, moment + WINDOW) >= mbit:
                return moment - start
            moment += STEP
        return None

    def steady_from(self, mbit: float) -> float:
        """The moment start-up ends: at `mbit`, or after its longest time, or half-way of a short transfer."""
        reached = self.reaches(mbit)
        longest = min(MAX_START_UP, (self.end - self.begin) / 2)
        return self.begin + (longest if reached is None else min(reached, longest))

    def steady(self, mbit: float) -> float:
        """Goodput after start-up."""
        return self.mbit(self.steady_from(mbit), self.end)
