"""REST schemas of the cloud about an end, and what to take along: deletion, and export of all data."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from farsite_signaling.wire.factor_api import FactorProof
from farsite_signaling.wire.ids import Name
from farsite_signaling.wire.schema import _Request, _Schema

EXPORT_FORMAT = "farsite-export"
EXPORT_SCHEMA = 1
"""Version of the file's layout: a change that readers must know of raises it."""
MANIFEST = "manifest.json"


class OrganizationDeletion(_Request):
    """`name` is the organization's, as it stands: what is about to go is named."""

    name: Name = Field(min_length=1, max_length=100)


class AccountDeletion(FactorProof):
    """With the password, and a second factor where one is on."""


class ExportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class Export(_Schema):
    """`rows_total` counts what there is to write, `rows_done` what is written; a file is there once it is `done`."""

    id: str
    state: ExportState
    requested_by: str
    step: str = ""
    rows_done: int = 0
    rows_total: int = 0
    created_at: datetime
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    size: int = Field(default=0, description="bytes")
    sha256: str = ""
    problem: str = ""


class ExportList(_Schema):
    exports: list[Export]


class ExportedFile(_Schema):
    name: str
    rows: int
    columns: list[str]
    sha256: str


class ExportManifest(_Schema):
    """`manifest.json` of the ZIP. `left_out` names what is secret or is of no use elsewhere."""

    format: str = EXPORT_FORMAT
    schema_version: int = EXPORT_SCHEMA
    release: str
    database_schema: str
    organization_id: str
    organization_name: str
    created_at: datetime
    files: list[ExportedFile]
    left_out: list[str]
