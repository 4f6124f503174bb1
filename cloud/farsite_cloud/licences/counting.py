"""Counting licences: facts and the time in, need, coverage and state out. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farsite_signaling.wire.licence import GRACE_DAYS, LicenceKind, LicenceState

GRACE = timedelta(days=GRACE_DAYS)
Counts = Mapping[LicenceKind, int]
_DEVICE, _UNIVERSAL = LicenceKind.DEVICE, LicenceKind.UNIVERSAL


@dataclass(frozen=True)
class Lot:
    """So many licences of one kind, from `starts` on, before `ends`."""

    kind: LicenceKind
    count: int
    starts: datetime
    ends: datetime

    def active(self, at: datetime) -> bool:
        return self.starts <= at < self.ends


@dataclass(frozen=True)
class Holder:
    """An edge host and what its devices need; `first` goes to it before others."""

    edge_id: str
    needed: Counts = field(default_factory=dict)
    first: Counts = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """Holders in the order in which they are served. `covered_at`: when all was known to be covered for the last time."""

    lots: Sequence[Lot] = ()
    holders: Sequence[Holder] = ()
    trial_until: datetime | None = None
    covered_at: datetime | None = None


@dataclass(frozen=True)
class Share:
    """What one holder gets."""

    holder: Holder
    allocated: Counts
    missing: int


@dataclass(frozen=True)
class Need:
    kind: LicenceKind
    needed: int
    owned: int
    unallocated: int
    missing: int
    covered_until: datetime | None


@dataclass(frozen=True)
class Standing:
    """`covered_until`: when the current need stops being covered; None when it is not, or when nothing is needed."""

    now: datetime
    state: LicenceState
    needs: Sequence[Need] = ()
    shares: Mapping[str, Share] = field(default_factory=dict)
    trial_until: datetime | None = None
    covered_until: datetime | None = None
    grace_from: datetime | None = None
    next_end: datetime | None = None

    @property
    def covered(self) -> bool:
        return self.state not in (LicenceState.GRACE, LicenceState.EXPIRED)

    @property
    def grace_until(self) -> datetime | None:
        return None if self.grace_from is None else self.grace_from + GRACE

    @property
    def changes_allowed(self) -> bool:
        return self.state is not LicenceState.EXPIRED

    def changes_until(self, edge_id: str) -> datetime | None:
        """Of one edge host, should nothing change: when changing devices stops. None: never."""
        match self.state:
            case LicenceState.UNLICENSED:
                return None
            case LicenceState.TRIAL | LicenceState.LICENSED:
                # Where nothing is needed, what comes next is covered by the trial at most.
                return (self.covered_until or max(self.now, self.trial_until or self.now)) + GRACE
            case LicenceState.EXPIRED if self._served(edge_id):
                return (self.next_end or self.now) + GRACE
            case _:
                return self.grace_until

    def may_change(self, edge_id: str) -> bool:
        until = self.changes_until(edge_id)
        return until is None or self.now < until

    def _served(self, edge_id: str) -> bool:
        """Whether all it needs is allocated to it, also while others miss some."""
        share = self.shares.get(edge_id)
        return share is not None and share.missing == 0 and sum(share.allocated.values()) > 0


def unlicensed(now: datetime) -> Standing:
    return Standing(now, LicenceState.UNLICENSED)


def evaluate(facts: Facts, now: datetime) -> Standing:
    need = total(facts.holders)
    owned = owned_at(facts.lots, now)
    covered = is_covered(facts, need, now)
    grace_from = None if covered else _grace_from(facts, need, now)
    ends = [lot.ends for lot in facts.lots if lot.active(now)]
    return Standing(
        now=now,
        state=_state(facts, need, now, grace_from),
        needs=_needs(facts, need, owned, now),
        shares=allocate(facts.holders, owned),
        trial_until=facts.trial_until,
        covered_until=covered_until(facts, need, now) if covered else None,
        grace_from=grace_from,
        next_end=min(ends, default=None),
    )


def total(holders: Sequence[Holder]) -> dict[LicenceKind, int]:
    return {kind: sum(holder.needed.get(kind, 0) for holder in holders) for kind in LicenceKind}


def owned_at(lots: Sequence[Lot], at: datetime) -> dict[LicenceKind, int]:
    return {
        kind: sum(lot.count for lot in lots if lot.kind is kind and lot.active(at)) for kind in LicenceKind
    }


def missing(need: Counts, owned: Counts) -> dict[LicenceKind, int]:
    """Universal licences that are left over serve Axis devices."""
    spare = owned[_UNIVERSAL] - need[_UNIVERSAL]
    return {
        _UNIVERSAL: max(0, -spare),
        _DEVICE: max(0, need[_DEVICE] - owned[_DEVICE] - max(0, spare)),
    }


def is_covered(facts: Facts, need: Counts, at: datetime) -> bool:
    return _in_trial(facts, at) or not any(missing(need, owned_at(facts.lots, at)).values())


def _in_trial(facts: Facts, at: datetime) -> bool:
    return facts.trial_until is not None and at < facts.trial_until


def covered_until(facts: Facts, need: Counts, now: datetime) -> datetime | None:
    """The first moment from now on at which the need of now is not covered; None: it always is."""
    if is_covered(facts, need, now):
        return next((at for at in _moments(facts) if at > now and not is_covered(facts, need, at)), None)
    return now


def _moments(facts: Facts) -> list[datetime]:
    """When coverage may change, in order."""
    found = {at for lot in facts.lots for at in (lot.starts, lot.ends)}
    return sorted(found | ({facts.trial_until} if facts.trial_until else set()))


def _grace_from(facts: Facts, need: Counts, now: datetime) -> datetime:
    """When coverage was lost: by licences that ended, or by devices that came after it was known to be covered."""
    known = [at for at in (facts.covered_at, _lost_at(facts, need, now)) if at is not None and at <= now]
    return max(known, default=now)


def _lost_at(facts: Facts, need: Counts, now: datetime) -> datetime | None:
    """The end of the last time before now at which the need of now was covered."""
    past = [at for at in _moments(facts) if at <= now]
    start = past[0] - timedelta(microseconds=1) if past else None
    lost, before = None, start is not None and is_covered(facts, need, start)
    for at in past:
        covered = is_covered(facts, need, at)
        if before and not covered:
            lost = at
        before = covered
    return lost


def _state(facts: Facts, need: Counts, now: datetime, grace_from: datetime | None) -> LicenceState:
    if grace_from is not None:
        return LicenceState.GRACE if now < grace_from + GRACE else LicenceState.EXPIRED
    enough = not any(missing(need, owned_at(facts.lots, now)).values())
    only_trial = _in_trial(facts, now) and not (enough and any(need.values()))
    return LicenceState.TRIAL if only_trial else LicenceState.LICENSED


def _needs(facts: Facts, need: Counts, owned: Counts, now: datetime) -> list[Need]:
    lacking = missing(need, owned)
    given = dict.fromkeys(LicenceKind, 0)
    for share in allocate(facts.holders, owned).values():
        for kind, count in share.allocated.items():
            given[kind] += count
    return [
        Need(
            kind=kind,
            needed=need[kind],
            owned=owned[kind],
            unallocated=max(0, owned[kind] - given[kind]),
            missing=lacking[kind],
            covered_until=_kind_until(facts, need, kind, now),
        )
        for kind in LicenceKind
    ]


def _kind_until(facts: Facts, need: Counts, kind: LicenceKind, now: datetime) -> datetime | None:
    """Without the trial: what is owned of this kind."""
    alone = Facts(facts.lots)
    only = {one: need[one] if one is kind or one is _UNIVERSAL else 0 for one in LicenceKind}
    if not need[kind] or missing(only, owned_at(facts.lots, now))[kind]:
        return None
    later = (at for at in _moments(alone) if at > now)
    return next((at for at in later if missing(only, owned_at(facts.lots, at))[kind]), None)


def allocate(holders: Sequence[Holder], owned: Counts) -> dict[str, Share]:
    """Who gets what there is: reserved ones first, then in order. `allocated` counts licences by their own kind."""
    need = total(holders)
    universal = min(owned[_UNIVERSAL], need[_UNIVERSAL])
    spare = owned[_UNIVERSAL] - universal
    devices = _deal(holders, _DEVICE, owned[_DEVICE] + spare)
    others = _deal(holders, _UNIVERSAL, universal)
    own = owned[_DEVICE]
    shares = {}
    for holder, device, other in zip(holders, devices, others, strict=True):
        plain = min(device, own)
        own -= plain
        wanted = sum(holder.needed.get(kind, 0) for kind in LicenceKind)
        allocated = {_DEVICE: plain, _UNIVERSAL: other + device - plain}
        shares[holder.edge_id] = Share(holder, allocated, wanted - device - other)
    return shares


def _deal(holders: Sequence[Holder], kind: LicenceKind, pool: int) -> list[int]:
    given = []
    for holder in holders:
        got = min(pool, holder.needed.get(kind, 0), holder.first.get(kind, 0))
        pool -= got
        given.append(got)
    for place, holder in enumerate(holders):
        more = min(pool, holder.needed.get(kind, 0) - given[place])
        pool -= more
        given[place] += more
    return given
