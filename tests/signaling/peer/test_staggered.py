"""Attempts beside one that hangs, in time that is skipped."""

from __future__ import annotations

import asyncio

import pytest

from farsite_signaling.peer.staggered import staggered
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.signaling.skipping import SkippingLoop


class Attempts:
    """Each takes its own time and gives its number; of `failing` ones an error. `None` hangs."""

    def __init__(self, *seconds: float | None, failing: tuple[int, ...] = ()) -> None:
        self.seconds = seconds
        self.failing = failing
        self.begun: list[float] = []
        self.cancelled: list[int] = []
        self.discarded: list[int] = []
        self.took = 0.0

    async def attempt(self) -> int:
        number = len(self.begun)
        self.begun.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(seconds if (seconds := self.seconds[number]) is not None else 1e6)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        if number in self.failing:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, f"attempt {number}")
        return number

    async def discard(self, number: int) -> None:
        self.discarded.append(number)

    def run(self) -> int:
        async def body() -> int:
            try:
                return await staggered(self.attempt, self.discard, 2.5, 4)
            finally:
                self.took = asyncio.get_running_loop().time()

        with asyncio.Runner(loop_factory=SkippingLoop) as runner:
            return runner.run(body())


def test_one_that_is_quick_has_none_beside_it() -> None:
    attempts = Attempts(2.0)
    assert attempts.run() == 0
    assert (attempts.begun, attempts.took) == ([0.0], 2.0)


def test_a_fresh_one_is_taken_while_the_first_hangs() -> None:
    attempts = Attempts(None, None, 0.5)
    assert attempts.run() == 2
    assert (attempts.took, attempts.cancelled, attempts.discarded) == (5.5, [0, 1], [])


def test_so_many_and_no_more() -> None:
    attempts = Attempts(30.0, None, None, None)
    assert attempts.run() == 0
    assert attempts.begun == [0.0, 2.5, 5.0, 7.5]


def test_the_first_failure_ends_them_all() -> None:
    attempts = Attempts(10.0, None, None, None, failing=(0,))
    with pytest.raises(FarsiteError, match="attempt 0"):
        attempts.run()
    assert (attempts.took, sorted(attempts.cancelled)) == (10.0, [1, 2, 3])


def test_two_that_stand_at_once_leave_one() -> None:
    attempts = Attempts()

    async def body() -> int:
        both = asyncio.Event()
        asyncio.get_running_loop().call_later(6, both.set)
        numbers = iter(range(4))

        async def attempt() -> int:
            number = next(numbers)
            await (both.wait() if number < 2 else asyncio.sleep(1e6))
            return number

        return await staggered(attempt, attempts.discard, 2.5, 4)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        taken = runner.run(body())
    assert [*attempts.discarded, taken] in ([0, 1], [1, 0])


def test_who_gives_up_leaves_none() -> None:
    attempts = Attempts(None, None, None, None)

    async def body() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(6):
                await staggered(attempts.attempt, attempts.discard, 2.5, 4)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(body())
    assert sorted(attempts.cancelled) == [0, 1, 2]
