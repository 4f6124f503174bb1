"""What the policy machine asks for, and what it may hear back."""

from __future__ import annotations

from dataclasses import dataclass, field

from farsite_edge.policies.kind import Finding, Step
from farsite_edge.tasks.exchange import AskReady, LoginRefused, Ready, Unreachable, Wait, Wrong
from farsite_edge.tasks.record import Outcome

__all__ = [
    "Action",
    "Apply",
    "AskReady",
    "Done",
    "Event",
    "LoginRefused",
    "Look",
    "Looked",
    "Ready",
    "Refused",
    "Undo",
    "Unreachable",
    "Verified",
    "Verify",
    "Wait",
    "Wrong",
]

# Questions


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


Action = AskReady | Look | Apply | Verify | Undo | Wait | Outcome

# Answers


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


Event = Ready | Looked | Done | Verified | Refused | LoginRefused | Unreachable | Wrong
