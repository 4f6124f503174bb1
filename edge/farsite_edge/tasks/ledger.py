"""The devices of a task, kept so that what is next costs the same for ten devices and ten thousand; free of I/O."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from farsite_edge.tasks.record import WorkRow
from farsite_signaling.wire.edge_tasks import Rollout, WorkCounts, WorkState


class Ledger:
    """`turn` is the one way a row gets another state."""

    def __init__(self, rows: list[WorkRow], rollout: Rollout) -> None:
        self.rows = rows
        self._counts = Counter(row.state for row in rows)
        self._limit = rollout.max_failures
        # Devices that were left out from the start make no stage smaller.
        taking_part = [row for row in rows if row.state is not WorkState.SKIPPED or row.step]
        self._taking_part = taking_part
        self._place = {row.position: place for place, row in enumerate(taking_part)}
        self._ended = 0  # so many of those taking part, from the first on, are finished
        self._stages = deque(_ends(rollout, len(taking_part)))
        self._queue = deque(row for row in rows if row.state is WorkState.QUEUED)
        self._left = deque(row for row in rows if row.state is WorkState.RUNNING)

    @property
    def finished(self) -> int:
        return sum(count for state, count in self._counts.items() if state.finished)

    @property
    def all_finished(self) -> bool:
        return self.finished == len(self.rows)

    @property
    def waiting(self) -> bool:
        """Whether there is a row that nobody works on."""
        return bool(self._queue or self._left)

    @property
    def queued(self) -> bool:
        return self._counts[WorkState.QUEUED] > 0

    def counts(self) -> WorkCounts:
        return WorkCounts.model_validate({state.value: count for state, count in self._counts.items()})

    def turn(self, row: WorkRow, state: WorkState) -> None:
        self._counts[row.state] -= 1
        self._counts[state] += 1
        row.state = state

    def stop_reason(self) -> str | None:
        """Why no further device is started: too many failed."""
        failed = self._counts[WorkState.FAILED]
        if failed < self._limit:
            return None
        return f"Stopped: {failed} devices failed, the limit is {self._limit}."

    def take(self, usable: Callable[[WorkRow], bool], *, new: bool) -> WorkRow | None:
        """The next row to work on; each is given once. Those an earlier run left in the middle come first; others only
        if `new`, and of the stage at hand. How many run already is not looked at."""
        row = _take(self._left, usable)
        if row is not None or not self._queue or self.stop_reason() is not None or not new:
            return row
        end = self._stage_end()
        return _take(self._queue, usable, lambda one: self._place[one.position] >= end)

    def put_back(self, rows: Sequence[WorkRow]) -> None:
        """Given, and not begun; in their order."""
        self._left.extend(row for row in rows if row.state is WorkState.RUNNING)
        self._queue.extendleft(row for row in reversed(rows) if row.state is WorkState.QUEUED)

    def drop_queued(self) -> list[WorkRow]:
        """Those nobody has begun, to be ended by the caller."""
        dropped = list(self._queue)
        self._queue.clear()
        return dropped

    def _stage_end(self) -> int:
        rows = self._taking_part
        while self._ended < len(rows) and rows[self._ended].state.finished:
            self._ended += 1
        while self._stages and self._ended >= self._stages[0]:
            self._stages.popleft()
        return self._stages[0] if self._stages else len(rows)


def _ends(rollout: Rollout, count: int) -> Iterator[int]:
    return (math.ceil(count * share / 100) for share in rollout.stages)


def _take(
    rows: deque[WorkRow],
    usable: Callable[[WorkRow], bool],
    is_later: Callable[[WorkRow], bool] = lambda _row: False,
) -> WorkRow | None:
    """The first usable one before the end of the stage. Only as many are passed over as others work on."""
    for number, row in enumerate(rows):
        if is_later(row):
            return None
        if usable(row):
            del rows[number]
            return row
    return None
