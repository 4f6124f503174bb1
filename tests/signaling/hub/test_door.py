"""Whoever finds no room at the door is told when there will be some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.hub.door import Door


def test_who_finds_room_comes_in_and_leaves_it_to_the_next() -> None:
    door = Door(room=2, pace=0.01)
    assert [door.knock(0.0), door.knock(0.0)] == [None, None]
    assert door.knock(0.0) is not None
    door.passed(0.1)
    assert door.knock(0.1) is None
    assert door.busy == 2


def test_each_of_those_turned_away_has_a_time_of_its_own() -> None:
    door = Door(room=100, pace=0.01)
    for _ in range(100):
        assert door.knock(0.0) is None
    waits = [door.knock(0.0) for _ in range(300)]
    # After those who are at the door already, a hundred a second.
    assert waits[0] == pytest.approx(1.01)
    assert waits[-1] == pytest.approx(4.0)
    assert waits == sorted(waits)
    assert len(set(waits)) == len(waits)


def test_the_times_go_by_how_fast_peers_get_in() -> None:
    slow, fast = Door(room=50, pace=0.01), Door(room=50, pace=0.01)
    for door, gap in ((slow, 0.05), (fast, 0.002)):
        now = 0.0
        for _ in range(50):
            door.knock(now)
        for _ in range(300):
            now += gap
            door.passed(now)
            assert door.knock(now) is None
        assert door.pace == pytest.approx(gap, rel=0.1)
        assert door.knock(now) == pytest.approx(51 * gap, rel=0.1)


def test_a_quiet_hour_is_no_slowness() -> None:
    door = Door(room=5, pace=0.01)
    for hour in range(10):
        door.knock(3600.0 * hour)
        door.passed(3600.0 * hour + 0.002)
    assert door.pace == 0.01


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=200))
def test_nobody_waits_for_ever_whatever_happens(steps: list[tuple[bool, float]]) -> None:
    door, now = Door(room=3, pace=0.01), 0.0
    for comes, later in steps:
        now += later
        if not comes and door.busy:
            door.passed(now)
        elif (wait := door.knock(now)) is not None:
            assert 0 < wait <= 60
        assert 0 <= door.busy <= 3
        assert 0 < door.pace <= 0.1
