"""REST schemas of the cloud's audit log."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from farsite_signaling.wire.audit_chain import BreakKind
from farsite_signaling.wire.cloud_api import PageAnswer
from farsite_signaling.wire.ids import Name
from farsite_signaling.wire.schema import _Request, _Schema


class AuditRow(_Schema):
    """`seq` and `hash`: its place in the organization's chain. `origin`: the edge host that reported it."""

    id: str
    at: datetime
    actor: str
    action: str
    target: str = ""
    outcome: str
    source: str = ""
    session: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    origin: str | None = None
    origin_id: str | None = None
    seq: int | None = None
    hash: str | None = None


class AuditList(PageAnswer):
    rows: list[AuditRow]


Text = Annotated[Name, Field(min_length=1, max_length=400)]


class AuditFilter(_Request):
    """What is given must all be so. Texts are found anywhere and in any case; `action=session` means `session.…` too."""

    actor: Text | None = None
    action: Text | None = None
    target: Text | None = None
    outcome: Literal["allowed", "refused", "failed"] | None = None
    edge: Text | None = Field(
        default=None, description="id of an edge host: what it reported or what was done to it"
    )
    session: Text | None = None
    source: Text | None = None
    since: AwareDatetime | None = Field(default=None, description="from this time on")
    until: AwareDatetime | None = Field(default=None, description="before this time")
    text: Text | None = Field(default=None, description="in actor, action, target, source or details")


class AuditQuery(AuditFilter):
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=100, ge=1, le=500)


class ExportFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


class AuditExportQuery(AuditFilter):
    format: ExportFormat = ExportFormat.JSONL


class Purpose(StrEnum):
    """Why a checkpoint was made. Only `retention` lets a log begin behind it."""

    ASKED = "asked"
    DAILY = "daily"
    RETENTION = "retention"


class CheckpointClaims(BaseModel):
    """A signed statement: at `at` the chain's row `seq` had `hash`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    chain: str = Field(max_length=64)
    seq: int = Field(ge=0)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    at: datetime
    purpose: Purpose = Purpose.ASKED


class AuditCheckpoint(CheckpointClaims):
    """`token` is the statement as a JWS (ES256) by the organization's authority: keep it somewhere else."""

    token: str


class AuditCheckpoints(PageAnswer):
    checkpoints: list[AuditCheckpoint]


class VerificationQuery(_Request):
    checkpoint: str | None = Field(
        default=None, max_length=4000, description="token of an earlier checkpoint"
    )


class AuditBreak(_Schema):
    seq: int
    kind: BreakKind
    detail: str


class AuditVerification(_Schema):
    """`ok`: every row from `first` to `last` is as it was written, none is missing, and checkpoints agree."""

    chain: str
    ok: bool
    first: int
    last: int
    rows: int
    hash: str = Field(description="of the last row that holds")
    checkpoints: int = Field(default=0, description="signed checkpoints that were compared")
    broken: AuditBreak | None = None
    note: str = ""
