"""REST schemas of an organization's licences."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, SecretStr

from farsite_signaling.wire.licence import MOST_LICENCES, LicenceKind, LicenceState
from farsite_signaling.wire.schema import _Request, _Schema


class RedeemRequest(_Request):
    key: SecretStr = Field(min_length=1, max_length=4096, description="line breaks and blanks do not matter")


class Licence(_Schema):
    """Good from `starts_at` on, before `ends_at`."""

    id: str
    kind: LicenceKind
    count: int
    starts_at: datetime
    ends_at: datetime
    issuer: str
    redeemed_at: datetime
    redeemed_by: str
    active: bool = Field(description="now")


class LicenceNeed(_Schema):
    """Of one kind: how many are needed now and how many there are; `covered_until`: when that stops to be enough."""

    kind: LicenceKind
    needed: int
    owned: int
    unallocated: int
    missing: int
    covered_until: datetime | None = None


class LicenceOverview(_Schema):
    """`changes_allowed`: whether devices may be changed. Seeing them is never limited."""

    state: LicenceState
    detail: str = Field(description="a sentence about it")
    changes_allowed: bool
    trial_until: datetime | None = None
    covered_until: datetime | None = None
    grace_until: datetime | None = None
    needs: list[LicenceNeed] = Field(default_factory=list)
    licences: list[Licence] = Field(default_factory=list)
    clock_behind: float = Field(
        default=0.0, description="seconds the cloud's clock is behind what it was before"
    )


class Allocation(_Schema):
    """Of one edge host. `first`: licences that go to it before others, as reserved."""

    edge_id: str
    edge_name: str
    needed: dict[LicenceKind, int]
    allocated: dict[LicenceKind, int]
    missing: int
    first: dict[LicenceKind, int] = Field(default_factory=dict)
    changes_allowed: bool


class AllocationList(_Schema):
    allocations: list[Allocation]


class ReservationRequest(_Request):
    """Licences that go to this edge host before others. Zero of both: no reservation."""

    device: int = Field(default=0, ge=0, le=MOST_LICENCES)
    universal: int = Field(default=0, ge=0, le=MOST_LICENCES)
