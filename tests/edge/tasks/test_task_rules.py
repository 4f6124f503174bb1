"""Update windows and staged rollouts, without any I/O."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from farsite_edge.tasks.ledger import Ledger
from farsite_edge.tasks.record import WorkRow
from farsite_edge.tasks.window import is_open, next_opening
from farsite_edge.tasks.zone import MachineZone, site_zone
from farsite_signaling.wire.edge_tasks import Rollout, UpdateWindow, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def window(start: str, end: str, *days: str, zone: str | None = None) -> UpdateWindow:
    return UpdateWindow.model_validate({"start": start, "end": end, "days": list(days), "time_zone": zone})


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=STOCKHOLM)


@pytest.mark.parametrize(
    ("moment", "is_now"),
    [
        ("2026-11-23T21:59:59", False),
        ("2026-11-23T22:00:00", True),
        ("2026-11-24T04:59:59", True),
        ("2026-11-24T05:00:00", False),
    ],
)
def test_over_midnight_in_the_sites_zone(moment: str, is_now: bool) -> None:
    assert is_open(window("22:00", "05:00"), local(moment).astimezone(UTC), STOCKHOLM) == is_now


def test_the_day_is_the_one_it_opens_on() -> None:
    friday = window("22:00", "05:00", "fri")
    assert is_open(friday, local("2026-11-28T03:00"), STOCKHOLM)  # Saturday morning
    assert not is_open(friday, local("2026-11-27T03:00"), STOCKHOLM)
    opening = next_opening(friday, local("2026-11-23T12:00"), STOCKHOLM)
    assert opening == local("2026-11-27T22:00")


def test_summer_time_moves_the_window_not_its_hours() -> None:
    night = window("01:00", "04:00")
    assert next_opening(night, local("2026-03-28T12:00"), STOCKHOLM) == datetime(2026, 3, 29, 0, tzinfo=UTC)
    assert next_opening(night, local("2026-03-29T12:00"), STOCKHOLM) == datetime(2026, 3, 29, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "opens", "closes"),
    [
        ("02:30", "03:30", "2026-03-29T01:00", "2026-03-29T01:30"),  # from 03:00, where clocks are set to
        ("02:15", "05:00", "2026-03-29T01:00", "2026-03-29T03:00"),
        ("01:30", "02:30", "2026-03-29T00:30", "2026-03-29T01:00"),  # never after its end
        ("02:00", "03:00", "2026-03-30T00:00", "2026-03-30T01:00"),  # there is no such hour that night
        ("02:10", "02:40", "2026-03-30T00:10", "2026-03-30T00:40"),
    ],
)
@pytest.mark.parametrize("site", [STOCKHOLM, None])
def test_hours_that_are_skipped(
    start: str, end: str, opens: str, closes: str, site: ZoneInfo | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks are set from 02:00 to 03:00."""
    monkeypatch.setenv("TZ", "Europe/Stockholm")
    time.tzset()
    zone, night = site or MachineZone(), window(start, end)
    begin, over = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (opens, closes))
    try:
        assert next_opening(night, local("2026-03-28T22:00"), zone) == begin
        assert not is_open(night, begin - timedelta(seconds=1), zone) and is_open(night, begin, zone)
        assert is_open(night, over - timedelta(seconds=1), zone) and not is_open(night, over, zone)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_window_may_name_its_zone() -> None:
    tokyo = window("00:00", "06:00", zone="Asia/Tokyo")
    assert is_open(tokyo, datetime(2026, 11, 23, 16, tzinfo=UTC), STOCKHOLM)
    with pytest.raises(ValidationError):
        window("00:00", "06:00", zone="Mars/Base")
    with pytest.raises(ValidationError):
        window("00:00Z", "06:00Z")


def test_the_sites_zone() -> None:
    now = datetime.now(UTC)
    assert now.astimezone(MachineZone()).utcoffset() == now.astimezone().utcoffset()
    with pytest.raises(FarsiteError) as caught:
        site_zone("Europe/Stokholm")
    assert caught.value.code is ErrorCode.SETTING_INVALID


@given(st.integers(0, 6 * 366 * 86400), st.times(), st.times())
def test_it_opens_when_it_says(seconds: int, start: object, end: object) -> None:
    made = UpdateWindow.model_validate({"start": start, "end": end})
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    opening = next_opening(made, now, STOCKHOLM)
    assert now < opening <= now + timedelta(days=2, hours=1)


def rows(text: str) -> list[WorkRow]:
    states = {"q": "queued", "r": "running", "s": "succeeded", "f": "failed", "-": "skipped"}
    return [WorkRow("t", n, str(n), {}, WorkState(states[one])) for n, one in enumerate(text)]


@pytest.mark.parametrize(
    ("states", "stages", "next_ones"),
    [
        ("qqqqqqqqqq", [100], "0123456789"),
        ("qqqqqqqqqq", [10, 50, 100], "0"),
        ("rqqqqqqqqq", [10, 50, 100], ""),
        ("sqqqqqqqqq", [10, 50, 100], "1234"),
        ("sssfsqqqqq", [10, 50, 100], "56789"),
        ("--qqqqqqqqqq", [10, 100], "2"),
        ("ffqqqqqqqq", [100], ""),
    ],
)
def test_stages(states: str, stages: list[int], next_ones: str) -> None:
    rollout = Rollout(stages=stages, max_failures=2)
    assert "".join(row.device for row in startable(Ledger(rows(states), rollout))) == next_ones


def startable(ledger: Ledger, *busy: str) -> Iterator[WorkRow]:
    while row := ledger.take(lambda one: one.state is WorkState.QUEUED and one.device not in busy, new=True):
        yield row


def test_a_stage_is_over_with_its_last_device() -> None:
    """As `rows` and their turns say it, device by device: whoever ends in between."""
    ledger = Ledger(rows("qqqqqqqqqq"), Rollout(stages=[20, 50, 100]))
    first, second = startable(ledger)
    for row in (first, second):
        assert not list(startable(ledger))
        ledger.turn(row, WorkState.RUNNING)
        ledger.turn(row, WorkState.SUCCEEDED)
    assert "".join(row.device for row in startable(ledger)) == "234"


def test_busy_devices_are_passed_over_and_come_later() -> None:
    ledger = Ledger(rows("rqqq"), Rollout())
    assert "".join(row.device for row in startable(ledger, "1", "2")) == "3"
    assert "".join(row.device for row in startable(ledger)) == "12"
    assert ledger.take(lambda _row: True, new=False) is ledger.rows[0]
    ledger.put_back([ledger.rows[1], ledger.rows[2]])
    assert ledger.take(lambda _row: True, new=False) is None
    assert [row.device for row in ledger.drop_queued()] == ["1", "2"]


@pytest.mark.parametrize("stages", [[], [50], [50, 40, 100], [0, 100], [100, 100]])
def test_stages_that_make_no_sense(stages: list[int]) -> None:
    with pytest.raises(ValidationError):
        Rollout(stages=stages)


def test_the_threshold_is_named() -> None:
    assert "2 devices failed" in (Ledger(rows("ffq"), Rollout(max_failures=2)).stop_reason() or "")
    assert Ledger(rows("fq"), Rollout(max_failures=2)).stop_reason() is None


def test_what_is_next_costs_the_same_for_many_devices() -> None:
    ledger, asked = Ledger(rows("q" * 5000), Rollout(stages=[10, 100])), 0

    def usable(_row: WorkRow) -> bool:
        nonlocal asked
        asked += 1
        return True

    for _ in range(5000):
        row = ledger.take(usable, new=True)
        assert row is not None
        ledger.turn(row, WorkState.RUNNING)
        ledger.turn(row, WorkState.SUCCEEDED)
        assert ledger.all_finished is (row.position == 4999)
    assert asked == 5000
