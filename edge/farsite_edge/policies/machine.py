"""The way of one device to what a policy wants, without any I/O: answers and time in, the next question out.

    ready -> look -> apply -> verify -> apply -> verify -> … -> look -> done
                        \\        |
                         +-----> undo -> ready -> look         (a risky step that shut us out, or may have)

A step is written down before it is begun. After a crash, or when a device fell silent in the middle, nobody knows
whether the step has taken effect: `verify` looks, and only then is gone on, tried again or undone. What cannot be
brought about is given up with its reason; the other settings go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.policies.exchange import (
    Action,
    Apply,
    AskReady,
    Done,
    Event,
    LoginRefused,
    Look,
    Looked,
    Ready,
    Refused,
    Undo,
    Unreachable,
    Verified,
    Verify,
    Wait,
    Wrong,
)
from farsite_edge.policies.kind import Finding, Step
from farsite_edge.tasks.record import MAX_DETAIL, Outcome
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.policy_api import PolicyState

MAX_ATTEMPTS = 3
"""Of one step whose answer was lost."""
MAX_ROUNDS = 3
"""Looks with steps after them: all settings at once, then one by one, then what was still other than wanted."""


class Stage(StrEnum):
    READY = "ready"
    LOOK = "look"
    APPLY = "apply"
    VERIFY = "verify"
    UNDO = "undo"
    DONE = "done"


@dataclass(frozen=True)
class Limits:
    """Seconds: between questions to a silent device, until a silent one is given up, and after a step or undo."""

    poll: float = 2.0
    answer: float = 30.0
    recover: float = 180.0


class Memory(BaseModel):
    """What is kept of a device on its way. `then` is the stage after `ready`; `since` when the stage began (epoch,
    seconds); `unsure`: whether the device got the step is not known;
    `reasons` are what the device said against a setting, `given_up` the settings not tried any more."""

    model_config = ConfigDict(extra="ignore")

    stage: Stage = Stage.READY
    then: Stage = Stage.LOOK
    since: float = 0.0
    round: int = 0
    steps: list[Step] = Field(default_factory=list)
    index: int = 0
    attempts: int = 0
    unsure: bool = False
    changed: list[str] = Field(default_factory=list)
    reasons: dict[str, str] = Field(default_factory=dict)
    given_up: list[str] = Field(default_factory=list)


class PolicyMachine:
    """`action(now)` is what to do next; its answer goes to `feed(event, now)`. `now` is epoch seconds. `Wait` has no
    answer: `waited()` it. An `Outcome` is the end, `findings` then what was seen last."""

    def __init__(self, memory: Memory, limits: Limits, *, enforce: bool, skip: frozenset[str]) -> None:
        self.memory = memory
        self.findings: list[Finding] = []
        self.looked = False
        self._limits = limits
        self._enforce = enforce
        self._skip = skip
        self._pause = 0.0
        self._outcome: Outcome | None = None

    @classmethod
    def begin(
        cls, limits: Limits, now: float, *, enforce: bool, skip: frozenset[str] = frozenset()
    ) -> PolicyMachine:
        """`skip` are settings that failed too often to be tried again by themselves."""
        return cls(Memory(since=now), limits, enforce=enforce, skip=skip)

    @classmethod
    def resume(
        cls, memory: Memory, limits: Limits, now: float, *, enforce: bool, skip: frozenset[str] = frozenset()
    ) -> PolicyMachine:
        """After a crash: a step that was under way may have taken effect or not."""
        machine = cls(memory, limits, enforce=enforce, skip=skip)
        under_way = memory.stage if memory.stage is not Stage.READY else memory.then
        if under_way in (Stage.APPLY, Stage.VERIFY):
            memory.unsure = True
            machine._turn_to_ready(Stage.VERIFY, now)
        elif under_way is Stage.UNDO:
            machine._turn_to_ready(Stage.UNDO, now)
        else:
            machine._turn_to_ready(Stage.LOOK, now)
        return machine

    @property
    def stage(self) -> Stage:
        return self.memory.stage

    @property
    def step(self) -> Step:
        return self.memory.steps[self.memory.index]

    @property
    def excluded(self) -> set[str]:
        """Settings no step is to be planned for."""
        return {*self.memory.given_up, *self._skip}

    @property
    def under_way(self) -> bool:
        """A step has been begun and is not verified."""
        stages = (self.memory.stage, self.memory.then if self.memory.stage is Stage.READY else None)
        return bool({Stage.APPLY, Stage.VERIFY, Stage.UNDO} & set(stages))

    @property
    def can_stop(self) -> bool:
        return not self.under_way or self.stage is Stage.APPLY

    def action(self, now: float) -> Action:
        if self._outcome is not None:
            return self._outcome
        if self._pause:
            return Wait(self._pause)
        match self.stage:
            case Stage.READY:
                return AskReady()
            case Stage.LOOK:
                return Look(careful=self.memory.round > 0)
            case Stage.APPLY:
                return Apply(self.step)
            case Stage.VERIFY:
                return Verify(self.step)
            case Stage.UNDO:
                return Undo(self.step)
            case Stage.DONE:
                raise AssertionError("it is done without an outcome")
        assert_never(self.stage)

    def waited(self) -> None:
        self._pause = 0.0

    def feed(self, event: Event, now: float) -> None:
        handlers = {
            Stage.READY: self._on_ready,
            Stage.LOOK: self._on_look,
            Stage.APPLY: self._on_apply,
            Stage.VERIFY: self._on_verify,
            Stage.UNDO: self._on_undo,
        }
        handlers[self.stage](event, now)

    # Before anything

    def _on_ready(self, event: Event, now: float) -> None:
        match event:
            case Ready(setup_required=True):
                self._fail(
                    "The device is factory-new: set its first account.", ErrorCode.DEVICE_SETUP_REQUIRED
                )
            case Ready(ready=True):
                self._turn(self.memory.then, self.memory.since)
            case Ready():
                self._again(now, "The device does not get ready.", ErrorCode.DEVICE_UNREACHABLE)
            case LoginRefused():
                self._fail(event.detail, ErrorCode.DEVICE_CREDENTIALS)
            case _:
                self._silent(event, now)

    def _silent(self, event: Event, now: float) -> None:
        """Whoever asks whether the device is there hears nothing, or nonsense."""
        if self.under_way and self._late(now) and self.memory.then is Stage.VERIFY and self.step.risky:
            # It may be our step that shut us out.
            self._begin_undo(f"The device does not answer after the change. {_said(event)}", now)
            return
        code = ErrorCode.DEVICE_UNREACHABLE if isinstance(event, Unreachable) else ErrorCode.DEVICE_ANSWER
        undoing = self.under_way and self.memory.then is Stage.UNDO
        self._again(now, self._locked_out(event) if undoing else _said(event), code)

    # Comparing

    def _on_look(self, event: Event, now: float) -> None:
        match event:
            case Looked():
                self._look_at(event, now)
            case LoginRefused():
                self._fail(event.detail, ErrorCode.DEVICE_CREDENTIALS)
            case Refused():
                self._fail(event.detail, ErrorCode.DEVICE_ANSWER)
            case Unreachable():
                self._turn_to_ready(Stage.LOOK, self.memory.since)
                self._again(now, event.detail, ErrorCode.DEVICE_UNREACHABLE)
            case _:
                self._turn_to_ready(Stage.LOOK, self.memory.since)
                self._again(now, _said(event), ErrorCode.DEVICE_ANSWER)

    def _look_at(self, seen: Looked, now: float) -> None:
        self.findings, self.looked = seen.findings, True
        steps = seen.steps if self._enforce else []
        if not steps or self.memory.round >= MAX_ROUNDS:
            self._finish()
            return
        self.memory.round += 1
        self.memory.steps = steps
        self._begin_step(0, now)

    # Changing

    def _on_apply(self, event: Event, now: float) -> None:
        match event:
            case Done():
                self.memory.unsure = False
                self._turn(Stage.VERIFY, now)
            case Refused():
                # Some of it may have been taken all the same: the next look tells.
                self._against(event.detail, now)
            case LoginRefused():
                self._turn(Stage.VERIFY, now)
            case _:
                self._note(_said(event))
                self.memory.unsure = True
                self._turn_to_ready(Stage.VERIFY, now)
                self._pause = self._limits.poll

    def _on_verify(self, event: Event, now: float) -> None:
        match event:
            case Verified(problem=None):
                self._took_effect(now)
            case Verified(problem=str() as problem):
                self._took_no_effect(problem, now)
            case Refused():
                self._took_no_effect(event.detail, now)
            case LoginRefused() if self.step.risky:
                self._begin_undo(f"After the change the device refuses the log-in. {event.detail}", now)
            case LoginRefused():
                self._fail(event.detail, ErrorCode.DEVICE_CREDENTIALS)
            case _ if self.step.risky and self._late(now):
                self._begin_undo(f"The device does not answer after the change. {_said(event)}", now)
            case _:
                self.memory.unsure = True
                self._turn_to_ready(Stage.VERIFY, self.memory.since)
                self._again(now, _said(event), ErrorCode.DEVICE_UNREACHABLE)

    def _took_effect(self, now: float) -> None:
        memory = self.memory
        memory.changed = list(dict.fromkeys([*memory.changed, *self.step.settings]))
        for name in self.step.settings:
            memory.reasons.pop(name, None)
        self._next(now)

    def _took_no_effect(self, problem: str, now: float) -> None:
        if self.memory.unsure and self.memory.attempts + 1 < MAX_ATTEMPTS:
            self.memory.attempts += 1
            self._note(problem)
            self._turn(Stage.APPLY, now)
        elif self.step.risky:
            self._begin_undo(problem, now)
        else:
            self._against(problem, now)

    def _against(self, detail: str, now: float) -> None:
        """The device does not do it; alone it is not tried again, with others it is tried alone next."""
        self._note(detail)
        if len(self.step.settings) == 1 or self.memory.round > 1:
            self._give_up()
        self._next(now)

    def _next(self, now: float) -> None:
        """What is given up is not gone on with: the steps after may build on it."""
        steps, given_up = self.memory.steps, set(self.memory.given_up)
        for index in range(self.memory.index + 1, len(steps)):
            if not steps[index].settings or set(steps[index].settings) - given_up:
                self._begin_step(index, now)
                return
        self._turn(Stage.LOOK, now)

    def _begin_step(self, index: int, now: float) -> None:
        self.memory.index, self.memory.attempts, self.memory.unsure = index, 0, False
        self._turn(Stage.APPLY, now)

    # Back

    def _begin_undo(self, reason: str, now: float) -> None:
        self._note(reason)
        self._give_up()
        self._turn(Stage.UNDO, now)

    def _on_undo(self, event: Event, now: float) -> None:
        match event:
            case Done():
                for name in self.step.settings:
                    self.memory.reasons[name] = f"{self.memory.reasons.get(name, '')} It was undone.".strip()
                self._turn_to_ready(Stage.LOOK, now)
            case LoginRefused():
                self._fail(self._locked_out(event), ErrorCode.DEVICE_CREDENTIALS)
            case Refused():
                self._fail(self._locked_out(event), ErrorCode.DEVICE_ANSWER)
            case _:
                self._turn_to_ready(Stage.UNDO, self.memory.since)
                self._again(now, self._locked_out(event), ErrorCode.DEVICE_UNREACHABLE)

    def _locked_out(self, event: Event) -> str:
        reason = self.memory.reasons.get(self.step.settings[0], "") if self.step.settings else ""
        return f"{self.step.title}: {reason} It could not be undone: {_said(event)}"

    # All of it

    def _note(self, detail: str) -> None:
        for name in self.step.settings:
            self.memory.reasons[name] = detail[:MAX_DETAIL]

    def _give_up(self) -> None:
        self.memory.given_up = list(dict.fromkeys([*self.memory.given_up, *self.step.settings]))

    def _late(self, now: float) -> bool:
        return now - self.memory.since >= self._limit

    @property
    def _limit(self) -> float:
        if self.under_way:
            return max(self._limits.recover, self.step.recovers)
        return self._limits.recover if self.memory.changed else self._limits.answer

    def _again(self, now: float, detail: str, code: ErrorCode) -> None:
        if self._late(now):
            self._fail(detail, code)
        else:
            self._pause = self._limits.poll

    def _turn(self, stage: Stage, since: float) -> None:
        self.memory.stage, self.memory.since = stage, since

    def _turn_to_ready(self, then: Stage, since: float) -> None:
        self.memory.then = then
        self._turn(Stage.READY, since)

    def _fail(self, detail: str, code: ErrorCode) -> None:
        self.memory.stage = Stage.DONE
        self._outcome = Outcome(WorkState.FAILED, detail[:MAX_DETAIL], code)

    def _finish(self) -> None:
        self.memory.stage = Stage.DONE
        bad = (PolicyState.DEVIATING, PolicyState.FAILED)
        off = [
            one.setting for one in self.findings if one.state in bad or one.setting in self.memory.given_up
        ]
        if off and self._enforce:
            self._outcome = Outcome(WorkState.FAILED, self._why(off), ErrorCode.DEVICE_ANSWER)
        elif off:
            detail = f"{len(off)} of {len(self.findings)} settings are other than wanted."
            self._outcome = Outcome(WorkState.SUCCEEDED, detail)
        else:
            self._outcome = Outcome(WorkState.SUCCEEDED, self._good())

    def _why(self, off: list[str]) -> str:
        said = {one.setting: one.detail for one in self.findings}
        reasons = [
            f"{name}: {self.memory.reasons.get(name) or said[name] or 'it reads back otherwise'}"
            for name in off
        ]
        return f"{len(off)} of {len(self.findings)} settings failed. {' '.join(reasons)}"[:MAX_DETAIL]

    def _good(self) -> str:
        changed = len(self.memory.changed)
        if changed:
            return "1 setting applied." if changed == 1 else f"{changed} settings applied."
        usable = any(one.state is PolicyState.COMPLIANT for one in self.findings)
        return (
            "It is as wanted." if usable or not self.findings else "The device supports none of the settings."
        )


def _said(event: Event) -> str:
    match event:
        case Refused() | LoginRefused() | Unreachable() | Wrong():
            return event.detail
        case _:
            return "The device answers something else than it was asked."
