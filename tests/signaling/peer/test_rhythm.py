"""Reading in ticks: while much or often something comes, and never at the price of a lost wake-up."""

from __future__ import annotations

import pytest

from farsite_signaling.peer.association.pacing import LEAST_TICK, MOST_TICK, tick
from farsite_signaling.peer.rhythm import Rhythm, delay

PACKET = 1200


def listen(rhythm: Rhythm, *, every: float, size: int, at: float = 100.0, seconds: float = 0.5) -> bool:
    """What comes, so many bytes `every` so many seconds, is read as `rhythm` says. Whether it looks in ticks then."""
    now, end = at, at + seconds
    while now < end:
        step = max(every, rhythm.tick) if rhythm.ticking else every
        now += step
        rhythm.read(round(size * step / every), now)
    return rhythm.ticking


@pytest.mark.parametrize(
    ("round_trip", "wanted"),
    [(None, 0.002), (0.0, 0.002), (0.02, 0.002), (0.03, 0.003), (0.04, 0.004), (0.6, 0.004)],
)
def test_a_tick_is_a_tenth_of_the_way_within_bounds(round_trip: float | None, wanted: float) -> None:
    assert tick(round_trip) == wanted


@pytest.mark.parametrize(
    ("now", "at", "due"),
    [
        (100.0, 100.0, 100.004),
        (100.0001, 100.0001, 100.004),
        (100.0039, 100.0039, 100.004),
        (100.004, 100.004, 100.008),
        (100.001, 100.005, 100.004),
        (100.001, 100.0065, 100.008),
        (100.001, 99.0, 100.004),
    ],
)
def test_wake_ups_meet_at_ticks(now: float, at: float, due: float) -> None:
    cut = int(now * 1000) / 1000  # libuv's clock
    assert cut + delay(now, at, 0.004) == pytest.approx(due, abs=1e-6)


def test_much_is_read_in_ticks_and_little_at_once() -> None:
    assert listen(Rhythm(), every=0.0001, size=PACKET)
    assert not listen(Rhythm(), every=0.01, size=PACKET)
    assert not listen(Rhythm(), every=0.001, size=50)


def test_acknowledgements_are_read_at_once_on_a_long_path_too() -> None:
    rhythm = Rhythm()
    rhythm.tick = MOST_TICK
    assert not listen(rhythm, every=0.005, size=50)


@pytest.mark.parametrize("every", [LEAST_TICK, MOST_TICK])
def test_silence_ends_the_ticks(every: float) -> None:
    rhythm = Rhythm()
    rhythm.tick = every
    assert listen(rhythm, every=0.0001, size=PACKET)
    assert not listen(rhythm, every=every, size=0, at=200.0, seconds=4 * every)
