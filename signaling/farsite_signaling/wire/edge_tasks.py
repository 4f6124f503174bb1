"""REST schemas of tasks and of AXIS OS management on an edge host (`/api/v1/tasks`, `/api/v1/os`)."""

from __future__ import annotations

from datetime import date, datetime, time
from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.schema import _Request, _Schema

MAX_DEVICES = 5000
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class TaskState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self not in (TaskState.QUEUED, TaskState.RUNNING)


class WorkState(StrEnum):
    """Of one device of a task; `skipped` devices were never touched, `detail` says why."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def finished(self) -> bool:
        return self not in (WorkState.QUEUED, WorkState.RUNNING)


class UpdateWindow(_Request):
    """When devices may be started, in the site's time zone. `end` at or before `start` is on the next day; `days`
    are those on which a window opens (none: every day)."""

    start: time
    end: time
    days: list[Day] = Field(default_factory=list, max_length=7)
    time_zone: str | None = Field(default=None, max_length=64, description="IANA name; the site's by default")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                raise ValueError("no time zone has this name; write it like Europe/Stockholm") from None
        return name

    @model_validator(mode="after")
    def _local(self) -> UpdateWindow:
        if self.start.tzinfo is not None or self.end.tzinfo is not None:
            raise ValueError("start and end are local times, such as 22:30")
        return self


class Rollout(_Request):
    """How a task goes through its devices. `stages` are cumulative shares, percent: the next one begins when all
    devices of the one before are done. At `max_failures` failed devices no further one is started."""

    parallel: int = Field(default=4, ge=1, le=64)
    stages: list[int] = Field(default_factory=lambda: [100], min_length=1, max_length=10)
    max_failures: int = Field(default=3, ge=1, le=MAX_DEVICES)
    window: UpdateWindow | None = None

    @field_validator("stages")
    @classmethod
    def _growing(cls, stages: list[int]) -> list[int]:
        growing = all(low < high for low, high in pairwise(stages))
        if not growing or stages[0] < 1 or stages[-1] != 100:
            raise ValueError("shares grow from 1 to 100 percent, such as 5, 25, 100")
        return stages


class WorkCounts(_Schema):
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return sum(self.model_dump().values())

    @property
    def done(self) -> int:
        return self.total - self.queued - self.running


class Task(_Schema):
    """Work on some devices that goes on through restarts of the edge host."""

    id: str
    kind: str
    title: str
    state: TaskState
    actor: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested: bool = False
    detail: str = Field(default="", description="why it stopped, or what it waits for")
    retry_of: str | None = None
    rollout: Rollout = Field(default_factory=Rollout)
    counts: WorkCounts = Field(default_factory=WorkCounts)
    progress: float = Field(default=0.0, ge=0, le=1, description="share of the work done")


class TaskStep(_Schema):
    """One line of the log of one device."""

    seq: int
    at: datetime
    device: str
    step: str
    detail: str = ""


class TaskDevice(_Schema):
    """What a task does with one device."""

    device: str
    state: WorkState
    step: str = ""
    detail: str = ""
    code: str | None = None
    progress: float = Field(default=0.0, ge=0, le=1)
    steps: list[TaskStep] = Field(default_factory=list)


class TaskDetail(Task):
    devices: list[TaskDevice] = Field(default_factory=list)


class TaskList(_Schema):
    tasks: list[Task]
    next_cursor: str | None = None


class TaskEvents(_Schema):
    """What happened after `cursor`; ask again with the new one. `wait` seconds are spent when there is nothing."""

    task: Task
    steps: list[TaskStep]
    cursor: int


class RetryRequest(_Request):
    """Which devices to try again; none named: all that failed or were cancelled."""

    devices: list[Id] = Field(default_factory=list, max_length=MAX_DEVICES)


# AXIS OS


class OsImage(_Schema):
    """A file of the operator's folder, or one downloaded (`downloads/…`). `problem` tells why one cannot be used."""

    id: str = Field(description="SHA-256 of the file, hex")
    file: str
    bytes: int
    version: str = ""
    models: list[str] = Field(default_factory=list)
    part_number: str = ""
    upgradeable_from: list[str] = Field(default_factory=list)
    problem: str | None = None


class OsImages(_Schema):
    folder: str
    images: list[OsImage]


class OsState(StrEnum):
    UP_TO_DATE = "up_to_date"
    UPDATE_AVAILABLE = "update_available"
    UNSUPPORTED_TRACK = "unsupported_track"
    UNKNOWN_MODEL = "unknown_model"


class OsChoice(_Schema):
    version: str
    image: str
    track: str
    crosses_major: bool = False
    stored: bool = Field(
        default=True, description="false: it is in the catalogue, and downloaded when needed"
    )


class OsVersion(_Schema):
    """Devices of one model that run the same version."""

    version: str
    count: int
    devices: list[str]
    track: str
    support_end: date | None = None
    state: OsState
    recommended: str | None = None
    crosses_major: bool = Field(
        default=False, description="the recommended version is of another major: chosen by name only"
    )


class OsRow(_Schema):
    """One model. Track, support end, recommended version and state are those of its oldest version."""

    model: str
    product: str = ""
    devices: int
    versions: list[OsVersion]
    track: str = ""
    support_end: date | None = None
    recommended: str | None = None
    crosses_major: bool = False
    available: list[OsChoice] = Field(default_factory=list, description="newest first")
    release_notes: str | None = None
    state: OsState


class OsInventory(_Schema):
    rows: list[OsRow]


class UpgradeRequest(_Request):
    """`version` none: the recommended one of each device, which is never of another major.

    A downgrade needs `factory_default`: the device loses its settings and accounts. `direct` leaves out the
    long-term-support versions between, where their images are missing.
    """

    ids: list[Id] = Field(min_length=1, max_length=MAX_DEVICES)
    version: str | None = Field(default=None, max_length=64, pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,7}$")
    factory_default: Literal["none", "soft", "hard"] = "none"
    direct: bool = False
    rollout: Rollout = Field(default_factory=Rollout)


class RollbackRequest(_Request):
    ids: list[Id] = Field(min_length=1, max_length=MAX_DEVICES)
    rollout: Rollout = Field(default_factory=Rollout)


Payload = dict[str, Any]
