"""REST schemas of scans (`/api/v1/discovery/scans`): many addresses, as a task."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from farsite_signaling.wire.edge_tasks import Task

MAX_ADDRESSES = 25_600
Port = Annotated[int, Field(ge=1, le=65535)]


class ScanRequest(BaseModel):
    """`targets`: addresses, ranges (`10.0.0.1-10.0.0.9`, `10.0.0.1-9`), subnets, each with a port if it is told
    (`10.0.0.5:8080`). `csv` is the text of a file with one column of addresses and a header; lines that are wrong
    are told, the others are used. With `check` nothing is begun."""

    model_config = ConfigDict(extra="forbid")

    targets: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=MAX_ADDRESSES
    )
    csv: str | None = Field(default=None, max_length=2_000_000)
    ports: list[Port] = Field(
        default_factory=list, max_length=16, description="80 and 443 when none are named"
    )
    rate: int | None = Field(default=None, ge=10, le=50_000, description="connections begun in a second")
    check: bool = False

    @model_validator(mode="after")
    def _something(self) -> ScanRequest:
        if not self.targets and self.csv is None:
            raise ValueError("name targets, or give a file")
        return self


class BadLine(BaseModel):
    """A line of the file that names no address."""

    line: int
    text: str
    problem: str


class ScanStarted(BaseModel):
    """`task` is none when only checked, or when no address was left to probe."""

    model_config = ConfigDict(extra="ignore")

    task: Task | None = None
    addresses: int
    duplicates: int = Field(default=0, description="addresses of the file that were named before")
    problems: list[BadLine] = Field(default_factory=list)
