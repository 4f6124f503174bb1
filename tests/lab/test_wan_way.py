"""What the emulated link decides, exactly: on a virtual clock, where no machine is too busy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

import pytest

from farsite_client.lab.namespaces import which
from tests.lab.wan.conditions import LINKS, Burst, Direction
from tests.lab.wan.virtual import PACKET, Arrival, VirtualWay

pytestmark = [pytest.mark.lab]
MANY = 20_000


@pytest.fixture(autouse=True)
def compiler() -> None:
    if which("cc") is None:
        pytest.skip("install gcc libc6-dev")


def numbers(arrived: Sequence[Arrival]) -> list[int]:
    return [one.number for one in arrived]


def runs_missing(arrived: Sequence[Arrival]) -> list[int]:
    """Lengths of the runs that did not arrive."""
    return [after - before - 1 for before, after in pairwise(sorted(numbers(arrived))) if after - before > 1]


def test_delay_is_exact() -> None:
    way = VirtualWay(Direction(delay_ms=30))
    assert [one.delay for one in way.stream(10, 100)] == [30.0] * 100


def test_what_is_offered_faster_leaves_at_the_rate() -> None:
    arrived = VirtualWay(Direction(rate_mbit=10, delay_ms=5)).stream(40, 1000)
    assert numbers(arrived) == list(range(1000))
    assert {round(after.at - before.at, 6) for before, after in pairwise(arrived)} == {1.0}
    assert arrived[0].delay == 6.0


def test_a_link_below_its_rate_makes_nobody_wait() -> None:
    arrived = VirtualWay(Direction(rate_mbit=10, delay_ms=5, queue_bytes=PACKET)).stream(9.9, 1000)
    assert {round(one.delay, 6) for one in arrived} == {6.0}
    assert len(arrived) == 1000


@pytest.mark.parametrize(
    ("queue", "deep"), [({"queue_bytes": 125_000}, 100), ({"queue_ms": 40}, 40), ({"queue_ms": 500}, 500)]
)
def test_queue_is_as_deep_as_told_and_drops_its_tail(queue: dict[str, int], deep: int) -> None:
    """Twice the rate: it fills, and then each packet that gets in waits for a whole queue."""
    arrived = VirtualWay(Direction(rate_mbit=10, delay_ms=5, **queue)).stream(20, 4000)
    delays = [one.delay for one in arrived]
    assert max(delays) <= 5 + deep
    full = delays[2 * deep :]
    assert min(full) > 5 + deep - 1  # one packet more would have been too much
    # Nothing is dropped before it is full, and every second packet from then on.
    assert numbers(arrived)[: 2 * deep - 2] == list(range(2 * deep - 2))
    assert len(arrived) == pytest.approx(2000 + deep, abs=2)
    assert max(runs_missing(arrived)) == 1


def test_queue_empties_while_nothing_is_offered() -> None:
    way = VirtualWay(Direction(rate_mbit=10, queue_ms=100))
    way.stream(20, 400)
    [late] = way.offer(200 + 100 - 40)
    assert late.delay == pytest.approx(41, abs=1.01)
    [fresh] = way.offer(1000)
    assert fresh.delay == 1.0


def test_small_packets_take_less_of_the_rate() -> None:
    way = VirtualWay(Direction(rate_mbit=10))
    assert [way.offer(at, size)[0].delay for at, size in ((0, 1250), (10, 125))] == pytest.approx([1.0, 0.1])


def test_jitter_is_uniform_and_keeps_order_where_told() -> None:
    jitter = Direction(delay_ms=30, jitter_ms=20)
    ordered = VirtualWay(jitter).stream(1, 2000)
    mixed = VirtualWay(Direction(delay_ms=30, jitter_ms=20, reordering=True)).stream(1, 2000)
    assert numbers(ordered) == list(range(2000))
    assert sorted(numbers(mixed)) == list(range(2000)) != numbers(mixed)
    for arrived in (ordered, mixed):
        assert all(10 <= one.delay <= 50 for one in arrived)
    delays = [one.delay for one in mixed]
    assert statistics.mean(delays) == pytest.approx(30, abs=1)
    assert statistics.pstdev(delays) == pytest.approx(40 / 12**0.5, rel=0.05)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_random_loss_takes_its_share_one_by_one(share: float) -> None:
    arrived = VirtualWay(Direction(loss=share)).stream(10, 5 * MANY)
    assert 1 - len(arrived) / (5 * MANY) == pytest.approx(share, rel=0.2)
    assert statistics.mean(runs_missing(arrived)) == pytest.approx(1 / (1 - share), rel=0.05)


def test_burst_loss_comes_in_bursts() -> None:
    burst = Burst(begin=0.01, end=0.2)
    arrived = VirtualWay(Direction(burst=burst)).stream(10, 5 * MANY)
    assert 1 - len(arrived) / (5 * MANY) == pytest.approx(burst.mean, rel=0.1)
    assert statistics.mean(runs_missing(arrived)) == pytest.approx(5, rel=0.1)


def test_what_is_lost_has_used_its_share_of_the_rate() -> None:
    arrived = VirtualWay(Direction(rate_mbit=10, loss=0.5)).stream(100, 1000)
    assert arrived[-1].at == pytest.approx(1000, abs=20)


def test_late_packets_are_overtaken_and_nobody_waits_for_them() -> None:
    arrived = VirtualWay(Direction(delay_ms=5, late=0.1, late_ms=10)).stream(10, MANY)
    assert {round(one.delay, 6) for one in arrived} == {5.0, 15.0}
    late = [one for one in arrived if one.delay > 10]
    assert len(late) / MANY == pytest.approx(0.1, rel=0.1)


def test_duplicates_come_twice() -> None:
    arrived = VirtualWay(Direction(delay_ms=5, duplicate=0.1)).stream(10, MANY)
    assert len(arrived) / MANY == pytest.approx(1.1, rel=0.01)
    assert len(set(numbers(arrived))) == MANY


def test_the_same_seed_has_the_same_fate() -> None:
    first, again, other = (VirtualWay(LINKS["W4"].up, seed=seed).stream(10, 2000) for seed in (7, 7, 8))
    assert first == again != other


def test_one_kind_of_chance_leaves_the_others_alone() -> None:
    """What is lost stays the same where jitter or duplicates come in."""
    plain = VirtualWay(Direction(loss=0.1)).stream(10, 2000)
    shaken = VirtualWay(Direction(loss=0.1, delay_ms=9, jitter_ms=9, reordering=True, duplicate=0.5))
    assert set(numbers(shaken.stream(10, 2000))) == set(numbers(plain))


def test_a_change_holds_from_the_next_packet_on() -> None:
    way = VirtualWay(Direction(delay_ms=30, loss=1.0))
    assert way.stream(10, 10) == []
    way.change(Direction(delay_ms=10))
    assert [one.delay for one in way.stream(10, 10, start=100)] == [10.0] * 10
