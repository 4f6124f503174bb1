"""What `farsite netcheck` and the doctors find, row by row, and the credentials their TURN probes use."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.schema import _Frozen


class Result(StrEnum):
    """`WARN`: it works, but worse than it could, or could not be checked."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


class CheckRow(_Frozen):
    """`fix` says what to do and is empty when there is nothing to do; `latency_ms` how long the probe took."""

    name: str
    result: Result
    detail: str
    fix: str = ""
    latency_ms: float | None = None


class AllowLine(_Frozen):
    """One line for a firewall. `port` is a number or a range (`49152-65535`); `out` is seen from this machine."""

    host: str
    port: str
    protocol: Literal["tcp", "udp"]
    why: str
    direction: Literal["out", "in"] = "out"


class CheckReport(_Frozen):
    rows: list[CheckRow] = Field(default_factory=list)
    allow_list: list[AllowLine] = Field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(row.result is Result.FAIL for row in self.rows)

    def row(self, name: str) -> CheckRow:
        """Raises `KeyError`."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)


class RelayCheck(_Frozen):
    """STUN and TURN servers with credentials good for a few minutes: enough to try every one of them."""

    ice_servers: list[IceServer] = Field(default_factory=list, max_length=16)
    expires_at: datetime
    server_time: datetime


class RelayCheckRequest(BaseModel):
    """POST /api/v1/edge/relay-check: `proof` is signed by the key of `certificate` (`identity.renewals`)."""

    model_config = ConfigDict(extra="forbid")

    certificate: str = Field(max_length=8192)
    proof: str = Field(max_length=4096, repr=False)


def passed(name: str, detail: str, latency_ms: float | None = None) -> CheckRow:
    return CheckRow(name=name, result=Result.PASS, detail=detail, latency_ms=latency_ms)


def warned(name: str, detail: str, fix: str = "", latency_ms: float | None = None) -> CheckRow:
    return CheckRow(name=name, result=Result.WARN, detail=detail, fix=fix, latency_ms=latency_ms)


def failed(name: str, detail: str, fix: str = "") -> CheckRow:
    return CheckRow(name=name, result=Result.FAIL, detail=detail, fix=fix)
