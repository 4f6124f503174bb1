"""Counting licences by itself: whatever the facts, nothing is counted twice, lost, or limited too early."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_cloud.licences.counting import (
    GRACE,
    Facts,
    Holder,
    Lot,
    allocate,
    covered_until,
    evaluate,
    missing,
    owned_at,
    total,
)
from farsite_cloud.licences.warnings import LicenceEvent, due
from farsite_signaling.wire.licence import LicenceKind, LicenceState

DAY = timedelta(days=1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEVICE, UNIVERSAL = LicenceKind.DEVICE, LicenceKind.UNIVERSAL


def lot(count: int, first: int, last: int, kind: LicenceKind = DEVICE) -> Lot:
    return Lot(kind, count, NOW + first * DAY, NOW + last * DAY)


def holder(name: str, device: int, universal: int = 0, first: int = 0) -> Holder:
    return Holder(name, {DEVICE: device, UNIVERSAL: universal}, {DEVICE: first} if first else {})


days = st.integers(-60, 60)
lots = st.lists(
    st.builds(
        lambda count, start, length, kind: lot(count, start, start + length, kind),
        st.integers(1, 20),
        days,
        st.integers(1, 60),
        st.sampled_from(LicenceKind),
    ),
    max_size=6,
)
holders = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 5), st.integers(0, 10)), max_size=5).map(
    lambda found: [holder(f"e{n}", *one) for n, one in enumerate(found)]
)
facts = st.builds(
    Facts,
    lots,
    holders,
    st.none() | days.map(lambda n: NOW + n * DAY),
    st.none() | st.integers(-60, 0).map(lambda n: NOW + n * DAY),
)


@given(facts, st.randoms())
def test_the_order_of_licences_does_not_matter(found: Facts, random) -> None:
    shuffled = list(found.lots)
    random.shuffle(shuffled)
    assert evaluate(replace(found, lots=shuffled), NOW) == evaluate(found, NOW)


@given(facts, st.randoms())
def test_the_order_of_edge_hosts_does_not_matter_for_the_whole(found: Facts, random) -> None:
    shuffled = list(found.holders)
    random.shuffle(shuffled)
    one, other = evaluate(found, NOW), evaluate(replace(found, holders=shuffled), NOW)
    assert (one.state, one.covered_until, one.grace_from) == (
        other.state,
        other.covered_until,
        other.grace_from,
    )
    assert [need.missing for need in one.needs] == [need.missing for need in other.needs]


@given(facts, st.integers(1, 20), days, st.integers(1, 60), st.sampled_from(LicenceKind))
def test_one_licence_more_never_makes_it_worse(
    found: Facts, count: int, start: int, length: int, kind: LicenceKind
) -> None:
    more = replace(found, lots=[*found.lots, lot(count, start, start + length, kind)])
    before, after = evaluate(found, NOW), evaluate(more, NOW)
    assert sum(need.missing for need in after.needs) <= sum(need.missing for need in before.needs)
    assert after.changes_allowed or not before.changes_allowed
    assert after.covered or not before.covered
    if before.covered and after.covered_until is not None:
        assert before.covered_until is not None and after.covered_until >= before.covered_until


@given(facts)
def test_what_is_allocated_is_owned_needed_and_adds_up(found: Facts) -> None:
    owned, need = owned_at(found.lots, NOW), total(found.holders)
    shares = allocate(found.holders, owned)
    for kind in LicenceKind:
        given_ = sum(share.allocated[kind] for share in shares.values())
        assert 0 <= given_ <= owned[kind]
    assert sum(share.missing for share in shares.values()) == sum(missing(need, owned).values())
    for share in shares.values():
        assert share.missing >= 0
        assert sum(share.allocated.values()) + share.missing == sum(share.holder.needed.values())


@given(facts)
def test_standing_says_what_holds_at_each_moment(found: Facts) -> None:
    """`covered_until` is the first moment that is not covered: no gap before it is overlooked."""
    standing = evaluate(found, NOW)
    if not standing.covered:
        assert standing.grace_from is not None and standing.grace_from <= NOW
        return
    end = standing.covered_until or NOW + 300 * DAY
    at = NOW
    while at < end:
        assert evaluate(found, at).covered
        at += DAY / 2
    if standing.covered_until is not None:
        assert not evaluate(found, standing.covered_until).covered


@given(facts)
def test_the_grace_is_thirty_days_for_everybody(found: Facts) -> None:
    """Whoever is covered now may change devices for thirty days after that ends, whatever else happens."""
    standing = evaluate(found, NOW)
    if standing.state is LicenceState.EXPIRED or standing.covered_until is None:
        return
    later = standing.covered_until + GRACE - DAY / 24
    then = evaluate(replace(found, covered_at=NOW), later)
    assert then.changes_allowed


@given(facts)
def test_state_only_gets_worse_while_nothing_is_added(found: Facts) -> None:
    over = evaluate(found, NOW)
    if over.state is not LicenceState.EXPIRED or any(one.starts > NOW for one in found.lots):
        return
    if found.trial_until is None or found.trial_until <= NOW:
        assert evaluate(found, NOW + 5 * DAY).state is LicenceState.EXPIRED


def test_adjacent_licences_leave_no_gap() -> None:
    found = Facts([lot(5, -10, 0), lot(5, 0, 10)], [holder("a", 5)])
    assert evaluate(found, NOW).state is LicenceState.LICENSED
    assert covered_until(found, total(found.holders), NOW - DAY) == NOW + 10 * DAY


def test_a_gap_begins_the_grace_and_the_next_licence_ends_it() -> None:
    found = Facts([lot(5, -10, 0), lot(5, 3, 10)], [holder("a", 5)])
    in_gap = evaluate(found, NOW + DAY)
    assert (in_gap.state, in_gap.grace_from) == (LicenceState.GRACE, NOW)
    assert evaluate(found, NOW + 4 * DAY).state is LicenceState.LICENSED


def test_trial_licence_grace_expiry() -> None:
    found = Facts([], [holder("a", 3)], trial_until=NOW + 30 * DAY)
    assert evaluate(found, NOW).state is LicenceState.TRIAL
    assert evaluate(found, NOW + 30 * DAY).state is LicenceState.GRACE
    over = evaluate(found, NOW + 60 * DAY)
    assert (over.state, over.changes_allowed) == (LicenceState.EXPIRED, False)
    assert over.grace_until == NOW + 60 * DAY


def test_devices_added_beyond_the_licences_have_their_own_thirty_days() -> None:
    """The licences are a year old; the shortage is not."""
    found = Facts([lot(5, -300, 300)], [holder("a", 6)], covered_at=NOW - DAY)
    standing = evaluate(found, NOW)
    assert (standing.state, standing.grace_until) == (LicenceState.GRACE, NOW + 29 * DAY)


def test_the_cloud_was_off_while_licences_ended() -> None:
    found = Facts([lot(5, -300, -40)], [holder("a", 5)], covered_at=NOW - 90 * DAY)
    assert evaluate(found, NOW).state is LicenceState.EXPIRED


def test_universal_licences_serve_axis_devices_but_not_the_other_way() -> None:
    assert evaluate(Facts([lot(5, -1, 1, UNIVERSAL)], [holder("a", 3, 2)]), NOW).covered
    assert not evaluate(Facts([lot(5, -1, 1, DEVICE)], [holder("a", 3, 2)]), NOW).covered


def test_after_the_grace_edge_hosts_with_all_they_need_go_on() -> None:
    found = Facts([lot(5, -100, 100)], [holder("a", 5), holder("b", 4)], covered_at=NOW - 40 * DAY)
    standing = evaluate(found, NOW)
    assert standing.state is LicenceState.EXPIRED
    assert standing.may_change("a") and not standing.may_change("b")
    first = evaluate(replace(found, holders=[holder("a", 5), holder("b", 4, first=4)]), NOW)
    assert first.may_change("b") and not first.may_change("a")


def events(found: Facts, start: int, stop: int) -> list[tuple[int, LicenceEvent, int | None]]:
    told, seen = None, []
    for day in range(start, stop):
        warning = due(evaluate(found, NOW + day * DAY), told)
        if warning is not None:
            told = warning.key
            seen.append((day, warning.event, warning.days))
    return seen


def test_each_notice_comes_once_and_in_time() -> None:
    found = Facts([lot(5, -300, 40)], [holder("a", 5)])
    ending, began, ended = LicenceEvent.ENDING, LicenceEvent.GRACE_BEGAN, LicenceEvent.GRACE_ENDED
    assert events(found, 0, 100) == [
        (10, ending, 30), (26, ending, 14), (33, ending, 7), (39, ending, 1), (40, began, None), (70, ended, None),
    ]  # fmt: skip


def test_notices_of_a_trial() -> None:
    found = Facts([], [holder("a", 1)], trial_until=NOW + 30 * DAY)
    seen = events(found, 0, 31)
    assert [(day, days_) for day, _, days_ in seen] == [(16, 14), (23, 7), (29, 1), (30, None)]


@pytest.mark.parametrize("silence", [5, 20])
def test_a_cloud_that_was_off_tells_what_counts_now(silence: int) -> None:
    found = Facts([lot(5, -300, 40)], [holder("a", 5)])
    [(_, event, left)] = events(found, 40 - silence, 41 - silence)
    assert (event, left) == (LicenceEvent.ENDING, silence)
