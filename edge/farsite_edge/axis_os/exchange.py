"""What the upgrade machine asks of a device, and what it may hear back."""

from __future__ import annotations

from dataclasses import dataclass

from farsite_edge.axis_os.plan import Hop
from farsite_edge.tasks.exchange import AskReady, LoginRefused, Ready, Unreachable, Wait, Wrong
from farsite_edge.tasks.record import Outcome

__all__ = [
    "Accepted",
    "Action",
    "AskInfo",
    "AskReady",
    "AskStatus",
    "Broken",
    "Commit",
    "Event",
    "Info",
    "LoginRefused",
    "Ready",
    "Refused",
    "Rollback",
    "Status",
    "Unreachable",
    "Upload",
    "Wait",
    "Wrong",
]

# Questions


@dataclass(frozen=True)
class AskInfo:
    """`public`: without logging in."""

    public: bool = False


@dataclass(frozen=True)
class AskStatus:
    pass


@dataclass(frozen=True)
class Upload:
    hop: Hop
    auto_commit: str
    auto_rollback: str
    factory_default: str


@dataclass(frozen=True)
class Commit:
    pass


@dataclass(frozen=True)
class Rollback:
    pass


Action = AskReady | AskInfo | AskStatus | Upload | Commit | Rollback | Wait | Outcome

# Answers


@dataclass(frozen=True)
class Info:
    """`unsigned`: apps installed that have no signature, as far as the device tells."""

    version: str
    model: str = ""
    soc: str = ""
    unsigned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    active: str
    inactive: str | None = None
    committed: bool | None = None


@dataclass(frozen=True)
class Accepted:
    pass


@dataclass(frozen=True)
class Refused:
    code: int
    message: str


@dataclass(frozen=True)
class Broken:
    """The upload ended without an answer; `complete`: the device has the whole image."""

    detail: str
    complete: bool


Event = Ready | Info | Status | Accepted | Refused | LoginRefused | Unreachable | Broken | Wrong
