from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_cloud import attempts
from farsite_cloud.attempts import LocalAttempts, Rule
from farsite_cloud.ids import new_id
from farsite_cloud.setup_codes.code import code_digest, new_code
from farsite_signaling.wire.errors import FarsiteError

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


def _limited(clock: Clock) -> LocalAttempts:
    return LocalAttempts(clock, Rule(free=3, longest=timedelta(minutes=1)))


async def test_waits_double_up_to_the_longest():
    clock = Clock()
    limit = _limited(clock)
    waits = []
    for _ in range(12):
        waits.append(limit.wait("a").total_seconds())
        clock.now += limit.wait("a")
        await limit.failed("a")
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert limit.wait("b") == timedelta()


async def test_success_and_time_forget():
    clock = Clock()
    limit = _limited(clock)
    for _ in range(5):
        await limit.failed("a")
    with pytest.raises(FarsiteError) as caught:
        await limit.check("a")
    assert caught.value.retry_after == 4
    await limit.succeeded("a")
    await limit.check("a")
    for _ in range(5):
        await limit.failed("a")
    clock.now += timedelta(hours=1, seconds=1)
    await limit.check("a")


async def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(attempts, "_MOST_KEYS", 10)
    limit = _limited(Clock())
    for number in range(100):
        await limit.failed(str(number))
    assert len(limit._records) == 10


@given(st.integers(min_value=0, max_value=2**31), st.integers(min_value=1, max_value=2**31))
def test_ids_sort_by_age(milliseconds, later):
    first = START + timedelta(milliseconds=milliseconds)
    assert new_id(first) < new_id(first + timedelta(milliseconds=later))


def test_ids_of_one_moment_keep_their_order_and_differ():
    made = [new_id(START) for _ in range(1000)]
    assert made == sorted(set(made))


def test_codes_are_drawn_from_sixty_bits():
    codes = {new_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert not any(set(code) & set("ILOU") for code in codes)
    assert len({character for code in codes for character in code}) == 33


def test_a_code_reads_the_same_however_it_is_written():
    assert code_digest("10AB-CDEF-GHJK") == code_digest("lo ab cd ef gh jk") == code_digest("IOABCDEFGHJK")
    assert code_digest("10AB-CDEF-GHJK") != code_digest("10AB-CDEF-GHJM")
