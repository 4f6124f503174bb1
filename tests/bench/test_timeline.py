"""What the benchmark reads from arrivals; needs no lab."""

from __future__ import annotations

import pytest

from tests.bench.timeline import MAX_START_UP, Timeline

MEGABIT = 125_000


def arrivals(*phases: tuple[float, float]) -> Timeline:
    """Phases of (seconds, Mbit/s), sampled every 20 ms from 100.0 on."""
    samples, now, total = [], 100.0, 0.0
    for seconds, mbit in phases:
        for _ in range(round(seconds / 0.02)):
            now += 0.02
            total += mbit * MEGABIT * 0.02
            if mbit > 0:
                samples.append((now, round(total)))
    return Timeline(100.0, samples)


def test_a_steady_rate_is_that_rate() -> None:
    line = arrivals((4, 80))
    assert line.mbit(101, 103) == pytest.approx(80, rel=0.01)
    assert line.reaches(70) == 0
    assert line.steady(70) == pytest.approx(80, rel=0.01)


def test_start_up_is_left_out() -> None:
    line = arrivals((1, 10), (4, 90))
    assert line.reaches(80) == pytest.approx(1.0, abs=0.05)
    assert line.steady(80) == pytest.approx(90, rel=0.02)


def test_who_never_gets_there_is_steady_after_the_longest_start_up() -> None:
    line = arrivals((MAX_START_UP, 1), (7, 3))
    assert line.reaches(80) is None
    assert line.steady(80) == pytest.approx(3, rel=0.02)


def test_recovery_counts_from_the_end_of_the_outage() -> None:
    line = arrivals((5, 90), (2, 0), (0.6, 5), (5, 90))
    assert line.reaches(80, after=107) == pytest.approx(0.6, abs=0.07)


def test_nothing_arrived() -> None:
    line = Timeline(100.0, [])
    assert (line.total, line.steady(80), line.reaches(1)) == (0, 0.0, None)
