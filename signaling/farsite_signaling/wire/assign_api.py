"""REST schemas of host names and addresses for many devices (`POST /api/v1/devices/assignments`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from farsite_signaling.wire.edge_tasks import Rollout, Task
from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.schema import _Request, _Schema

MAX_ROWS = 2000
MAX_CSV = 1024 * 1024
LABEL = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"


class AssignRow(_Request):
    """What one device gets; what is left out stays. `mode` `static` needs `address` with its prefix. `ipv6` is an address
    with its prefix, `auto` (by router advertisements) or `off`."""

    device: str = Field(min_length=1, max_length=64)
    host_name: str | None = Field(default=None, max_length=200)
    mode: Literal["static", "dhcp"] | None = None
    address: str | None = Field(default=None, max_length=64)
    router: str | None = Field(default=None, max_length=64)
    ipv6: str | None = Field(default=None, max_length=64)
    ipv6_router: str | None = Field(default=None, max_length=64)
    dns: list[str] = Field(default_factory=list, max_length=8)


class AssignRule(_Request):
    """Devices in their order: host names by a pattern with `{serial}`, `{model}`, `{n}`, `{n:03}`; addresses one after
    the other from `first` (with prefix) to `last`, those in use left out; IPv6 ones likewise. `ipv6` is `auto` or `off`
    for all."""

    ids: list[Id] = Field(min_length=1, max_length=MAX_ROWS)
    host_name: str | None = Field(default=None, max_length=100)
    first: str | None = Field(default=None, max_length=64)
    last: str | None = Field(default=None, max_length=64)
    router: str | None = Field(default=None, max_length=64)
    ipv6: Literal["auto", "off"] | None = None
    ipv6_first: str | None = Field(default=None, max_length=64)
    ipv6_last: str | None = Field(default=None, max_length=64)
    ipv6_router: str | None = Field(default=None, max_length=64)
    dns: list[str] = Field(default_factory=list, max_length=8)
    dhcp: bool = False


class AssignRequest(_Request):
    """One of `rows`, `csv` (its text, with a header) and `rule`. With `check` nothing is changed."""

    rows: list[AssignRow] = Field(default_factory=list, max_length=MAX_ROWS)
    csv: str | None = Field(default=None, max_length=MAX_CSV)
    rule: AssignRule | None = None
    check: bool = False
    rollout: Rollout = Field(default_factory=Rollout)


class AssignPlanRow(_Schema):
    """`line` counts from 1, with the header of a file; `problem`: why nothing is done with it."""

    line: int
    device: str
    host_name: str = ""
    address: str = Field(default="", description="with prefix, or dhcp; empty: as it is")
    router: str = ""
    ipv6: str = Field(default="", description="with prefix, or auto, or off; empty: as it is")
    ipv6_router: str = ""
    dns: list[str] = Field(default_factory=list)
    now: str = Field(default="", description="the address it has")
    problem: str | None = None


class AssignPlan(_Schema):
    """`task` carries out the good rows; none when there are none, or it was only a check."""

    rows: list[AssignPlanRow]
    task: Task | None = None
