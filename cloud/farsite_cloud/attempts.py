"""Limits on guessing: after some failures every further try waits twice as long as the one before."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from farsite_cloud.clock import Clock
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_MOST_KEYS = 100_000


@dataclass
class _Record:
    failures: int
    last: datetime


class Attempts:
    """Failures by key (an address, an account). `free` of them cost nothing; then `first`, twice that … to `longest`.

    Forgotten after `memory` without another one. The oldest keys are dropped beyond a bound, so that an attacker
    with many addresses cannot fill the memory.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        free: int,
        longest: timedelta,
        memory: timedelta = timedelta(hours=1),
        first: timedelta = timedelta(seconds=1),
    ) -> None:
        self._clock = clock
        self._free = free
        self._longest = longest
        self._memory = memory
        self._first = first
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def check(self, key: str) -> None:
        """Raises `rate_limited` with the seconds to wait."""
        wait = self.wait(key)
        if wait > timedelta():
            seconds = max(1.0, wait.total_seconds())
            detail = f"Too many failed attempts. Try again in {seconds:.0f} s."
            raise FarsiteError(ErrorCode.RATE_LIMITED, detail, retry_after=seconds)

    def wait(self, key: str) -> timedelta:
        record = self._fresh(key)
        if record is None or record.failures < self._free:
            return timedelta()
        doublings = min(record.failures - self._free, 30)
        pause: timedelta = min(self._first * 2**doublings, self._longest)
        return record.last + pause - self._clock()

    def failed(self, key: str) -> None:
        record = self._fresh(key) or _Record(0, self._clock())
        record.failures += 1
        record.last = self._clock()
        self._records[key] = record
        self._records.move_to_end(key)
        while len(self._records) > _MOST_KEYS:
            self._records.popitem(last=False)

    def begin(self, key: str) -> None:
        """Check, and count a failure until `succeeded` is called: parallel guesses do not slip through together."""
        self.check(key)
        self.failed(key)

    def forgive(self, key: str) -> None:
        """The one that `begin` counted was right; earlier failures stay."""
        record = self._fresh(key)
        if record is not None:
            record.failures = max(0, record.failures - 1)

    def succeeded(self, key: str) -> None:
        self._records.pop(key, None)

    def _fresh(self, key: str) -> _Record | None:
        record = self._records.get(key)
        if record is not None and self._clock() - record.last > self._memory:
            del self._records[key]
            return None
        return record
