"""What the policy machine asks for, and what it may hear back."""

from __future__ import annotations

from dataclasses import dataclass, field

from farsite_edge.policies.kind import Finding, Step
from farsite_edge.tasks.record import Outcome

# Questions


@dataclass(frozen=True)
class AskReady:
    pass


@dataclass(frozen=True)
class Look:
    """Read the device, compare, plan. `careful`: one step for each setting."""

    careful: bool = False


@dataclass(frozen=True)
class Apply:
    step: Step


@dataclass(frozen=True)
class Verify:
    step: Step


@dataclass(frozen=True)
class Undo:
    step: Step


@dataclass(frozen=True)
class Wait:
    seconds: float


Action = AskReady | Look | Apply | Verify | Undo | Wait | Outcome

# Answers


@dataclass(frozen=True)
class Ready:
    ready: bool
    setup_required: bool = False


@dataclass(frozen=True)
class Looked:
    findings: list[Finding]
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """Applied, or undone, as far as the device says."""


@dataclass(frozen=True)
class Verified:
    """`problem`: why the step has not taken effect."""

    problem: str | None = None


@dataclass(frozen=True)
class Refused:
    """The device answered that it will not."""

    detail: str


@dataclass(frozen=True)
class LoginRefused:
    detail: str


@dataclass(frozen=True)
class Unreachable:
    """No answer: what was asked may have happened or not."""

    detail: str


@dataclass(frozen=True)
class Wrong:
    """An answer that makes no sense: what was asked may have happened or not."""

    detail: str


Event = Ready | Looked | Done | Verified | Refused | LoginRefused | Unreachable | Wrong
