"""Work that the cloud hands to edge hosts: signed orders one way, reports the other.

    cloud                          edge host
      | -- work_order ----------->   |   a JWS; again and again until a report says that it is known
      | <--------- work_report --    |   what became of it so far; again until accepted
      | -- work_report_accepted ->   |

An order is stated whole each time. A change of mind (hold, cancel, go on) is the same order with another `wanted` and a
higher `serial`, so that what arrives twice or late does nothing new.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from farsite_signaling.wire.edge_tasks import Rollout, WorkCounts, WorkState
from farsite_signaling.wire.ids import Id, Name, UrnText
from farsite_signaling.wire.rights import ROLE_RIGHTS, Right, Role
from farsite_signaling.wire.schema import _Frozen

ORDER_TYPE = "farsite-order+jwt"
MAX_ORDER = 64 * 1024
"""Characters of a signed order, so that it fits one hub message."""
MAX_STEPS = 40
MAX_SELECTED = 1000


class Wanted(StrEnum):
    """What is to become of an order: go on, start no further device, or end where it is safe."""

    RUN = "run"
    HOLD = "hold"
    CANCEL = "cancel"


class Selection(BaseModel):
    """Which managed devices of an edge host are meant, decided there when the order arrives. All that is given must
    hold; nothing given means all of them."""

    model_config = ConfigDict(extra="forbid")

    devices: list[Id] | None = Field(default=None, max_length=MAX_SELECTED, description="serial numbers")
    models: list[Name] | None = Field(default=None, max_length=100)
    device_types: list[Name] | None = Field(default=None, max_length=20)
    version_below: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,7}$",
        description="only devices that run an older version than this",
    )


class Order(BaseModel):
    """Claims of an order. Times are Unix seconds; after `exp` no edge host takes it any more.

    `sub` is who wants it: the person who made the campaign, or who changed it last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    aud: UrnText
    sub: UrnText
    email: str = Field(default="", max_length=254)
    org: Id
    role: Role
    rights: frozenset[Right]
    id: Id
    campaign: Id
    serial: int = Field(ge=1)
    wanted: Wanted
    kind: str = Field(max_length=64)
    title: str = Field(default="", max_length=100)
    parameters: dict[str, Any] = Field(default_factory=dict)
    selection: Selection = Field(default_factory=Selection)
    rollout: Rollout = Field(default_factory=Rollout)
    iat: int
    exp: int

    @field_validator("rights", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """As in a grant: rights of a newer cloud are nobody's here."""
        if not isinstance(value, list | tuple | set | frozenset):
            return value
        return [right for right in value if right in set(Right)]

    def allows(self, right: Right) -> bool:
        return right in self.rights and right in ROLE_RIGHTS[self.role]


class OrderPhase(StrEnum):
    """Where an edge host is with an order. `refused`: nothing of it was or will be done there."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    HELD = "held"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"

    @property
    def finished(self) -> bool:
        return self not in (OrderPhase.ACCEPTED, OrderPhase.RUNNING, OrderPhase.HELD)


class WorkOrder(_Frozen):
    """Cloud to edge host: `order` is a JWS (ES256) of `Order` by the organization's grant key."""

    type: Literal["work_order"] = "work_order"
    id: Id
    order: str = Field(max_length=MAX_ORDER, repr=False)


class WorkDevice(_Frozen):
    device: Id
    state: WorkState
    step: str = Field(default="", max_length=100)
    detail: str = Field(default="", max_length=500)
    code: str | None = Field(default=None, max_length=64)


class WorkStep(_Frozen):
    seq: int = Field(ge=1)
    at: datetime
    device: Id
    step: str = Field(max_length=100)
    detail: str = Field(default="", max_length=500)


class WorkReport(_Frozen):
    """Edge host to cloud: one order as it is now, with a part of what the cloud does not have yet.

    `revision` grows with every report of an order, `serial` is that of the newest statement followed. Steps come
    in the order of their `seq`, each until a report with it was accepted; the cloud keeps each once.
    """

    type: Literal["work_report"] = "work_report"
    id: Id
    order: Id
    revision: int = Field(ge=1)
    serial: int = Field(ge=1)
    phase: OrderPhase
    code: str | None = Field(default=None, max_length=64)
    detail: str = Field(default="", max_length=500)
    task: Id | None = None
    progress: float = Field(default=0.0, ge=0, le=1)
    counts: WorkCounts = Field(default_factory=WorkCounts)
    devices: list[WorkDevice] = Field(default_factory=list, max_length=2 * MAX_STEPS)
    steps: list[WorkStep] = Field(default_factory=list, max_length=MAX_STEPS)


class WorkReportAccepted(_Frozen):
    type: Literal["work_report_accepted"] = "work_report_accepted"
    id: Id
