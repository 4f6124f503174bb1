"""The hash chain by itself: whatever is done to rows is noticed, at the right row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.wire.audit_api import AuditRow
from farsite_signaling.wire.audit_chain import BreakKind, ChainCheck, Link, genesis, link, start

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    id: str
    seq: int | None = None
    hash: str | None = None
    at: datetime = NOW
    actor: str = "ann@example.com"
    action: str = "device.add"
    target: str = "ACCC8E000001"
    outcome: str = "allowed"
    source: str = "192.0.2.1"
    session: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    origin: str | None = None
    origin_id: str | None = None


def chained(count: int, chain: str = "org1") -> list[Row]:
    rows, last = [], start(chain)
    for number in range(1, count + 1):
        row = Row(id=f"r{number}", seq=number, details={"number": number, "list": [1.5, None, "ä"]})
        row = replace(row, hash=link(last.hash, row))
        last = Link(number, row.hash or "")
        rows.append(row)
    return rows


def judged(rows: list[Row], head: Link, *expected: Link, after: Link | None = None) -> Any:
    check = ChainCheck(after or start("org1"))
    for place in expected:
        check.expect(place)
    for row in rows:
        if not check.take(row):
            break
    return check.finish(head)


def head_of(rows: list[Row]) -> Link:
    return Link(rows[-1].seq or 0, rows[-1].hash or "") if rows else start("org1")


@given(st.integers(0, 12))
def test_a_chain_as_written_holds(count: int) -> None:
    rows = chained(count)
    assert judged(rows, head_of(rows), *[Link(row.seq or 0, row.hash or "") for row in rows]) is None


CHANGES = [
    {"actor": "eve@example.com"},
    {"action": "device.remove"},
    {"target": ""},
    {"outcome": "refused"},
    {"source": ""},
    {"session": "s1"},
    {"details": {}},
    {"origin": "edge1"},
    {"origin_id": "x"},
    {"id": "other"},
    {"at": NOW + timedelta(microseconds=1)},
]


@given(st.integers(1, 10), st.data(), st.sampled_from(CHANGES))
def test_a_changed_row_is_named(count: int, data: st.DataObject, change: dict[str, Any]) -> None:
    rows = chained(count)
    where = data.draw(st.integers(0, count - 1))
    rows[where] = replace(rows[where], **change)
    broken = judged(rows, head_of(chained(count)))
    assert (broken.seq, broken.kind) == (where + 1, BreakKind.CHANGED)


@given(st.integers(2, 10), st.data())
def test_missing_and_swapped_rows_are_named(count: int, data: st.DataObject) -> None:
    rows, head = chained(count), head_of(chained(count))
    where = data.draw(st.integers(0, count - 1))
    broken = judged(rows[:where] + rows[where + 1 :], head)
    assert (broken.seq, broken.kind) == (where + 1, BreakKind.MISSING)
    if where:
        rows[where - 1], rows[where] = rows[where], rows[where - 1]
        assert judged(rows, head).seq == where


def test_rewriting_everything_after_a_change_is_noticed_by_a_checkpoint_only() -> None:
    honest = chained(5)
    forged, last = [], start("org1")
    for row in honest:
        row = replace(row, actor="nobody")
        row = replace(row, hash=link(last.hash, row))
        last = Link(row.seq or 0, row.hash or "")
        forged.append(row)
    assert judged(forged, last) is None
    broken = judged(forged, last, head_of(honest[:3]))
    assert (broken.seq, broken.kind) == (3, BreakKind.REWRITTEN)


def test_a_shortened_log_is_noticed_by_a_checkpoint() -> None:
    rows = chained(5)
    broken = judged(rows[:3], head_of(rows[:3]), head_of(rows))
    assert (broken.seq, broken.kind) == (4, BreakKind.MISSING)


def test_a_log_that_begins_later_holds_from_there() -> None:
    rows = chained(6)
    assert judged(rows[3:], head_of(rows), after=head_of(rows[:3])) is None
    assert judged(rows[4:], head_of(rows), after=head_of(rows[:3])).kind is BreakKind.MISSING


def test_chains_of_other_organizations_begin_elsewhere() -> None:
    assert genesis("org1") != genesis("org2")
    assert judged(chained(1, "org2"), head_of(chained(1, "org2"))).kind is BreakKind.CHANGED


@pytest.mark.parametrize("offset", [timedelta(hours=2), timedelta(hours=-11)])
def test_a_rows_journey_through_json_and_time_zones_keeps_its_hash(offset: timedelta) -> None:
    [row] = chained(1)
    shown = AuditRow(**vars(row))
    again = AuditRow.model_validate_json(shown.model_dump_json())
    moved = again.model_copy(update={"at": again.at.astimezone(timezone(offset))})
    assert link(genesis("org1"), moved) == row.hash
