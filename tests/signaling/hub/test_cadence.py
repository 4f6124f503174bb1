"""Many idle peers ping in step, each still every so many seconds as the hub wants."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.hub.cadence import CLOSE, STEP, in_step, steady
from farsite_signaling.wire.heartbeat import MISSED, Heartbeat

WANTED = 55.6


def out_of_step(now: float) -> float:
    return abs((now + STEP / 2) % STEP - STEP / 2)


def pings(
    first: float, count: int, way: float = 0.0, jitter: float = 0.0
) -> list[tuple[float, float | None]]:
    """When each ping of one peer reached the hub, and what it was told then. `way`: seconds to the hub, and back."""
    draw = random.Random(1)
    pulse, now, current = Heartbeat(4.0, first - 4.0), first, 4.0
    arrived = []
    for _ in range(count):
        assert pulse.ping(now) is not None
        there = now + way + draw.uniform(0, jitter)
        told = in_step(current, WANTED, there)
        arrived.append((there, told))
        pulse.received(there + way)
        if told is not None:
            current = told
            pulse.pace(told, there + way)
        now = pulse.deadline()
    return arrived


@given(st.floats(10, 1000), st.floats(0, 0.4))
def test_each_is_in_step_from_its_second_ping_on_however_far_away(first: float, way: float) -> None:
    arrived = pings(first, 6, way)
    assert all(out_of_step(at) < CLOSE for at, _ in arrived[1:])
    assert [told for _, told in arrived[3:]] == [None] * 3, "and need not be told any more"
    gaps = [later - at for (at, _), (later, _) in pairwise(arrived[1:])]
    assert all(abs(gap - WANTED) < STEP for gap in gaps)


def test_what_a_network_adds_does_not_upset_it() -> None:
    arrived = pings(123.4, 200, way=0.05, jitter=0.02)
    assert max(out_of_step(at) for at, _ in arrived[1:]) < 3 * CLOSE
    assert sum(told is not None for _, told in arrived) < 20


@given(st.floats(0.05, 60), st.floats(4.5, 60), st.floats(0, 1e6))
def test_nobody_is_asked_for_much_else_than_is_wanted(current: float, wanted: float, now: float) -> None:
    told = in_step(current, wanted, now)
    assert abs((current if told is None else told) - wanted) <= 0.1 * wanted + 1.5 * STEP
    assert steady(current, wanted) in (None, wanted)


def test_intervals_are_whole_steps_and_no_shorter_than_is_wanted() -> None:
    assert in_step(4.0, WANTED, 100.0) == 56.0
    assert in_step(4.0, WANTED, 100.25) == 55.75
    assert in_step(55.75, WANTED, 156.0) == 56.0
    assert in_step(56.0, WANTED, 212.0 + CLOSE / 2) is None


def test_a_longer_interval_moves_the_next_ping_and_not_the_last_one() -> None:
    pulse = Heartbeat(4.0, 0.0)
    assert pulse.ping(4.0) is not None
    pulse.pace(10.0, 4.7)
    assert pulse.deadline() == pytest.approx(14.0)
    assert pulse.expires() == pytest.approx(4.7 + MISSED * 10.0)
