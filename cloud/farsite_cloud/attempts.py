"""Limits on guessing: after some failures every further try waits twice as long as the one before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from farsite_cloud.clock import Clock
from farsite_cloud.database.failures import STORAGE
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_MOST_KEYS = 100_000
MOST_DOUBLINGS = 30


@dataclass(frozen=True)
class Rule:
    """`free` failures cost nothing; then `first`, twice that … up to `longest`.

    Forgotten after `memory` without another one.
    """

    free: int
    longest: timedelta
    memory: timedelta = timedelta(hours=1)
    first: timedelta = timedelta(seconds=1)

    def pause(self, failures: int) -> timedelta:
        if failures < self.free:
            return timedelta()
        doublings: int = min(failures - self.free, MOST_DOUBLINGS)
        pause: timedelta = self.first * 2**doublings
        return min(pause, self.longest)


class Attempts(Protocol):
    """Failures by key (an address, an account). What is shared by processes may raise `unavailable`."""

    async def check(self, key: str) -> None:
        """Raises `rate_limited` with the seconds to wait."""

    async def failed(self, key: str) -> None: ...

    async def begin(self, key: str) -> None:
        """Check, and count a failure until `succeeded` is called: parallel guesses do not slip through together."""

    async def succeeded(self, key: str) -> None:
        """All is forgotten."""

    async def forgive(self, key: str) -> None:
        """The one that `begin` counted was right; earlier failures stay."""


@dataclass
class _Record:
    failures: int
    last: datetime


class LocalAttempts:
    """`Attempts` of one process.

    The oldest keys are dropped beyond a bound, so that an attacker with many addresses cannot fill the memory.
    """

    def __init__(self, clock: Clock, rule: Rule) -> None:
        self._clock = clock
        self._rule = rule
        self._records: OrderedDict[str, _Record] = OrderedDict()

    async def check(self, key: str) -> None:
        refuse(self.wait(key))

    def wait(self, key: str) -> timedelta:
        record = self._fresh(key)
        if record is None or record.failures < self._rule.free:
            return timedelta()
        now = self._clock()
        # A clock that was set back makes nobody wait for longer than the pause.
        record.last = min(record.last, now)
        return record.last + self._rule.pause(record.failures) - now

    async def failed(self, key: str) -> None:
        record = self._fresh(key) or _Record(0, self._clock())
        record.failures += 1
        record.last = self._clock()
        self._records[key] = record
        self._records.move_to_end(key)
        while len(self._records) > _MOST_KEYS:
            self._records.popitem(last=False)

    async def begin(self, key: str) -> None:
        await self.check(key)
        await self.failed(key)

    async def succeeded(self, key: str) -> None:
        self._records.pop(key, None)

    async def forgive(self, key: str) -> None:
        record = self._fresh(key)
        if record is not None:
            record.failures = max(0, record.failures - 1)

    def _fresh(self, key: str) -> _Record | None:
        record = self._records.get(key)
        if record is not None and self._clock() - record.last > self._rule.memory:
            del self._records[key]
            return None
        return record


def refuse(wait: timedelta) -> None:
    """Raises `rate_limited` when there is something to wait for."""
    if wait > timedelta():
        seconds = max(1.0, wait.total_seconds())
        detail = f"Too many failed attempts. Try again in {seconds:.0f} s."
        raise FarsiteError(ErrorCode.RATE_LIMITED, detail, retry_after=seconds)


@asynccontextmanager
async def guessing(attempts: Attempts, key: str) -> AsyncIterator[None]:
    """Around what is refused to a wrong guess. That the database is away is nobody's guess and not counted."""
    await attempts.check(key)
    try:
        yield
    except FarsiteError as error:
        if error.code not in STORAGE:
            await attempts.failed(key)
        raise
