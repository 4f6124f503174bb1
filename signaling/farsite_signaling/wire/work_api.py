"""REST schemas of work across the organization: campaigns, their orders, what became of each device."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from farsite_signaling.wire.cloud_api import Page, PageAnswer, Title
from farsite_signaling.wire.edge_tasks import Rollout, WorkCounts, WorkState
from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.schema import _Request, _Schema
from farsite_signaling.wire.work import Selection

MAX_HOURS = 24 * 90


class CampaignState(StrEnum):
    """`stopped`: too much failed. `cancelling`: waits for edge hosts at work to end where it is safe."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in (CampaignState.SUCCEEDED, CampaignState.FAILED, CampaignState.CANCELLED)


class OrderState(StrEnum):
    """Of one edge host in a campaign. `queued`: not its turn yet; `offline_waiting`: its turn, but it is not connected
    or its remote access is off; `sent`: handed over, not confirmed; `held`: the campaign is paused or stopped."""

    QUEUED = "queued"
    OFFLINE_WAITING = "offline_waiting"
    SENT = "sent"
    ACCEPTED = "accepted"
    RUNNING = "running"
    HELD = "held"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def finished(self) -> bool:
        return self in _FINISHED


_FINISHED = frozenset({OrderState.SUCCEEDED, OrderState.FAILED, OrderState.CANCELLED, OrderState.EXPIRED})


class CampaignRollout(_Request):
    """How a campaign goes through its edge hosts. `stages` are cumulative shares of them, percent: the next stage begins
    when all edge hosts of the one before are done or offline, at least one of them was really tried, and
    `soak_minutes` have passed. At `max_failures` failed devices on all sites together, or at `max_failure_share` percent
    of those known so far, nothing further is started anywhere."""

    stages: list[int] = Field(default_factory=lambda: [100], min_length=1, max_length=10)
    parallel: int = Field(default=20, ge=1, le=1000, description="edge hosts at work at a time")
    soak_minutes: int = Field(default=0, ge=0, le=60 * 24 * 14)
    max_failures: int | None = Field(default=3, ge=1, le=1_000_000)
    max_failure_share: int | None = Field(default=None, ge=1, le=100)
    site: Rollout = Field(default_factory=Rollout, description="how each edge host goes through its devices")

    @field_validator("stages")
    @classmethod
    def _growing(cls, stages: list[int]) -> list[int]:
        growing = all(low < high for low, high in pairwise(stages))
        if not growing or stages[0] < 1 or stages[-1] != 100:
            raise ValueError("shares grow from 1 to 100 percent, such as 5, 25, 100")
        return stages


class CampaignRequest(_Request):
    """`edge_hosts` and `folders` (with all below them) name where; neither: everywhere. `starts_at` none: now.
    Edge hosts that have not taken their order when it expires are left out."""

    kind: str = Field(min_length=1, max_length=64, pattern=r"^[a-z_]+(\.[a-z_]+)*$")
    title: Title | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    edge_hosts: list[Id] = Field(default_factory=list, max_length=5000)
    folders: list[Id] = Field(default_factory=list, max_length=500)
    selection: Selection = Field(default_factory=Selection)
    rollout: CampaignRollout = Field(default_factory=CampaignRollout)
    starts_at: datetime | None = None
    expires_in_hours: int = Field(default=168, ge=1, le=MAX_HOURS)

    @field_validator("starts_at")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("give the time with its zone, such as 2026-03-01T22:00:00Z")
        return value


class OrderCounts(_Schema):
    """Edge hosts by state."""

    queued: int = 0
    offline_waiting: int = 0
    sent: int = 0
    accepted: int = 0
    running: int = 0
    held: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0

    @property
    def total(self) -> int:
        return sum(self.model_dump().values())


class Campaign(_Schema):
    """Work on devices of many edge hosts. Counts are of the edge hosts the reader reaches."""

    id: str
    kind: str
    title: str
    state: CampaignState
    detail: str = Field(default="", description="why it stopped, or what it waits for")
    created_by: str
    created_at: datetime
    starts_at: datetime | None = None
    expires_at: datetime
    finished_at: datetime | None = None
    retry_of: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    selection: Selection = Field(default_factory=Selection)
    rollout: CampaignRollout = Field(default_factory=CampaignRollout)
    stage: int = Field(default=0, description="the stage at hand, counted from 0")
    orders: OrderCounts = Field(default_factory=OrderCounts)
    devices: WorkCounts = Field(default_factory=WorkCounts)
    progress: float = Field(default=0.0, ge=0, le=1)


class CampaignList(PageAnswer):
    campaigns: list[Campaign]


class CampaignOrder(_Schema):
    """What one edge host does for a campaign. `task` is the id of the task there."""

    id: str
    edge_host_id: str
    edge_name: str
    state: OrderState
    stage: int
    detail: str = ""
    code: str | None = None
    task: str | None = None
    sent_at: datetime | None = None
    heard_at: datetime | None = None
    finished_at: datetime | None = None
    counts: WorkCounts = Field(default_factory=WorkCounts)
    progress: float = 0.0


class CampaignOrderList(PageAnswer):
    orders: list[CampaignOrder]


class CampaignDevice(_Schema):
    id: str
    device: str
    edge_host_id: str
    order: str
    state: WorkState
    step: str = ""
    detail: str = ""
    code: str | None = None
    updated_at: datetime


class CampaignDeviceList(PageAnswer):
    devices: list[CampaignDevice]


class CampaignStep(_Schema):
    at: datetime
    device: str
    step: str
    detail: str = ""


class CampaignStepList(PageAnswer):
    steps: list[CampaignStep]


class CampaignQuery(Page):
    state: Literal["open", "finished"] | None = None
    kind: str | None = Field(default=None, max_length=64)


class CampaignOrderQuery(Page):
    state: OrderState | None = None


class CampaignDeviceQuery(Page):
    state: WorkState | None = None
    edge_host: str | None = Field(default=None, max_length=64)


class CampaignStepQuery(Page):
    device: str | None = Field(default=None, max_length=64)


class CampaignResume(_Request):
    """Go on with a paused or stopped campaign. Failures so far are forgiven; new limits may be given."""

    max_failures: int | None = Field(default=None, ge=1, le=1_000_000)
    max_failure_share: int | None = Field(default=None, ge=1, le=100)


class CampaignRetry(_Request):
    """A new campaign for what did not succeed."""

    rollout: CampaignRollout | None = None
    expires_in_hours: int = Field(default=168, ge=1, le=MAX_HOURS)


class CampaignKind(_Schema):
    kind: str
    title: str
    right: Right
    parameters: dict[str, Any] = Field(description="JSON Schema of its parameters")


class CampaignKindList(_Schema):
    kinds: list[CampaignKind]


class UpgradeParameters(_Request):
    """`os.upgrade`: to a version, or each device to its recommended one. As `UpgradeRequest` of the edge host."""

    version: str | None = Field(default=None, max_length=64, pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,7}$")
    factory_default: Literal["none", "soft", "hard"] = "none"
    direct: bool = False

    @model_validator(mode="after")
    def _named(self) -> UpgradeParameters:
        if self.factory_default != "none" and self.version is None:
            raise ValueError("a factory default is for a downgrade: name the version")
        return self


class RollbackParameters(_Request):
    """`os.rollback`: back to the version before, with its settings."""
