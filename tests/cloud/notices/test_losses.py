"""When devices that are lost are an outage of their site: rules alone, no database, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from farsite_cloud.notices.losses import WINDOW, Outage, begun, threshold

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def lost(*minutes_ago: float) -> list[datetime]:
    return [NOW - timedelta(minutes=minutes) for minutes in minutes_ago]


@pytest.mark.parametrize(
    ("devices", "most", "expected"),
    [
        (1, 10, 3),
        (4, 10, 3),
        (15, 10, 3),
        (16, 10, 4),
        (40, 10, 8),
        (50, 10, 10),
        (5000, 10, 10),
        (5000, 3, 3),
    ],
)
def test_many_is_a_fifth_of_a_small_site_and_a_number_of_a_large_one(devices, most, expected):
    assert threshold(devices, most) == expected


def test_a_switch_of_a_large_site_is_an_outage_and_single_devices_are_none():
    assert begun(lost(*[1] * 24), 1000, 10, NOW) == Outage(*lost(1, 1), 24)
    assert begun(lost(*[1] * 9), 1000, 10, NOW) is None
    assert begun(lost(), 1000, 10, NOW) is None


def test_what_is_lost_within_minutes_went_together():
    assert begun(lost(0, 1, 2, 3), 20, 10, NOW) == Outage(NOW - timedelta(minutes=3), NOW, 4)


def test_those_that_were_lost_one_by_one_over_weeks_are_no_outage():
    days = [60 * 24 * day for day in range(1, 40)]
    assert begun(lost(*days, 0, 1), 100, 10, NOW) is None
    just_outside = WINDOW / timedelta(minutes=1) + 0.1
    assert begun(lost(*[just_outside] * 30), 100, 10, NOW) is None


def test_what_belongs_to_an_outage_before_is_not_counted_again():
    first = begun(lost(*[5] * 12), 100, 10, NOW - timedelta(minutes=5))
    assert first is not None
    assert begun(lost(*[5] * 12, *[1] * 9), 100, 10, NOW, after=first.until) is None
    second = begun(lost(*[5] * 12, *[1] * 10), 100, 10, NOW, after=first.until)
    assert second == Outage(*lost(1, 1), 10)


def test_an_outage_grows_while_more_is_lost_and_never_shrinks():
    outage = Outage(*lost(3, 3), 10)
    assert outage.grown(lost(*[3] * 10, *[1] * 5)) == Outage(*lost(3, 1), 15)
    assert outage.grown(lost(3)) == outage
    assert outage.grown([]) == outage


def test_a_device_that_came_back_and_went_again_is_not_left_of_it():
    outage = Outage(*lost(30, 29), 12)
    assert outage.left(lost(30, 29.5, 29, 2, 40)) == 3


@pytest.mark.parametrize(
    ("count", "left", "over"),
    [
        (3, 1, False),
        (3, 0, True),
        (4, 1, True),
        (7, 2, False),
        (8, 2, True),
        (24, 3, False),
        (24, 2, True),
        (1000, 101, False),
        (1000, 100, True),
    ],
)
def test_it_is_over_when_nearly_all_are_back(count, left, over):
    assert Outage(NOW, NOW, count).is_over(left) is over
