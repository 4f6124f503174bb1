"""The way of one device to another AXIS OS, without any I/O: answers and time in, the next question out.

    ready -> info -> status -> upload -> restart -> look -> commit      (again for every version on the way)
                        |                  |          |
                        +-> rollback -> revert <------+                 (asked for, or a wrong version, or no log-in)

The image is installed uncommitted: a device that is not committed in time, loses its power or cannot start goes
back to the version before by itself. Nothing is committed that is not the version meant and cannot be logged in to.
After a crash of the edge host `resume` asks the device where it stands instead of trusting what was last known.
"""

from __future__ import annotations

from typing import assert_never

from farsite_edge.axis_os.exchange import (
    Accepted,
    Action,
    AskInfo,
    AskReady,
    AskStatus,
    Broken,
    Commit,
    Event,
    Info,
    LoginRefused,
    Ready,
    Refused,
    Rollback,
    Status,
    Unreachable,
    Upload,
    Wait,
    Wrong,
)
from farsite_edge.axis_os.fitness import unfit
from farsite_edge.axis_os.limits import Limits
from farsite_edge.axis_os.memory import Memory, Stage
from farsite_edge.axis_os.plan import Hop, Plan
from farsite_edge.axis_os.refusals import BUSY, explain, said
from farsite_edge.tasks.record import MAX_DETAIL, Outcome
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.os_versions import same

MAX_ROLLBACKS = 2


class UpgradeMachine:
    """`action(now)` is what to do next; its answer goes to `feed(event, now)`. `now` is epoch seconds. `Wait` has no
    answer: `waited()` it. An `Outcome` is the end."""

    def __init__(self, plan: Plan, memory: Memory, limits: Limits) -> None:
        self.plan = plan
        self.memory = memory
        self.limits = limits
        self._pause = 0.0
        self._outcome: Outcome | None = None

    @classmethod
    def begin(cls, plan: Plan, limits: Limits, now: float) -> UpgradeMachine:
        return cls(plan, Memory(since=now), limits)

    @classmethod
    def resume(cls, plan: Plan, memory: Memory, limits: Limits, now: float) -> UpgradeMachine:
        """After a crash: what was under way may have happened or not."""
        machine = cls(plan, memory, limits)
        if memory.stage in (Stage.ROLLBACK, Stage.REVERT, Stage.REVERT_LOOK):
            machine._turn(Stage.REVERT, memory.since)
        else:
            machine._turn(Stage.READY, now)
        return machine

    @property
    def stage(self) -> Stage:
        return self.memory.stage

    @property
    def hop(self) -> Hop:
        return self.plan.hops[self.memory.hop]

    @property
    def wiped(self) -> bool:
        """The version under way comes with a factory default: accounts are gone after it."""
        return self.plan.factory_default != "none" and self.memory.hop == len(self.plan.hops) - 1

    @property
    def can_stop(self) -> bool:
        """Nothing has been begun that must be brought to an end."""
        before = (Stage.READY, Stage.INFO, Stage.STATUS, Stage.UPLOAD)
        return self.stage in before and not self.memory.touched

    def action(self, now: float) -> Action:
        if self._outcome is not None:
            return self._outcome
        if self._pause:
            return Wait(self._pause)
        match self.stage:
            case Stage.READY | Stage.RESTART | Stage.REVERT:
                return AskReady()
            case Stage.INFO:
                return AskInfo(public=self.wiped and self.memory.touched)
            case Stage.LOOK:
                return AskInfo(public=self.wiped)
            case Stage.REVERT_LOOK:
                return AskInfo(public=True)
            case Stage.STATUS:
                return AskStatus()
            case Stage.UPLOAD:
                return self._upload()
            case Stage.COMMIT:
                return Commit()
            case Stage.ROLLBACK:
                return Rollback()
            case Stage.DONE:
                raise AssertionError("an outcome was given")
        assert_never(self.stage)

    def waited(self) -> None:
        self._pause = 0.0

    def upload_begins(self) -> None:
        """Before the first byte leaves: from here on the device may change."""
        self.memory.uploads += 1
        self.memory.touched = True

    def feed(self, event: Event, now: float) -> None:
        handlers = {
            Stage.READY: self._on_ready,
            Stage.INFO: self._on_info,
            Stage.STATUS: self._on_status,
            Stage.UPLOAD: self._on_upload,
            Stage.RESTART: self._on_restart,
            Stage.LOOK: self._on_look,
            Stage.COMMIT: self._on_commit,
            Stage.ROLLBACK: self._on_rollback,
            Stage.REVERT: self._on_revert,
            Stage.REVERT_LOOK: self._on_revert_look,
        }
        handlers[self.stage](event, now)

    # Before

    def _on_ready(self, event: Event, now: float) -> None:
        limit = self.limits.restart if self.memory.touched else self.limits.answer
        match event:
            case Ready(setup_required=True) if not (self.wiped and self.memory.touched):
                self._fail(
                    "The device is factory-new: set its first account.", ErrorCode.DEVICE_SETUP_REQUIRED
                )
            case Ready(ready=True):
                self.memory.boot_id = event.boot_id
                self._turn(Stage.INFO, self.memory.since)
            case Ready():
                self._again(now, limit, "The device does not get ready.", ErrorCode.DEVICE_UNREACHABLE)
            case _:
                self._trouble(event, now, limit)

    def _on_info(self, event: Event, now: float) -> None:
        if not isinstance(event, Info):
            self._trouble(event, now, self.limits.restart if self.memory.touched else self.limits.answer)
            return
        if self.plan.kind == "upgrade" and (reason := unfit(event, self.plan, self.hop.version)):
            if self.memory.touched or self.memory.installed:
                self._fail(reason, ErrorCode.DEVICE_ANSWER)
            else:
                self._end(Outcome.skipped(reason))
            return
        if not self.memory.touched:
            self.memory.before = event.version
        if self.wiped and self.memory.touched and same(event.version, self.hop.version):
            self._arrived(now)
            return
        self._turn(Stage.STATUS, self.memory.since)

    def _on_status(self, event: Event, now: float) -> None:
        if not isinstance(event, Status):
            self._trouble(event, now, self.limits.restart if self.memory.touched else self.limits.answer)
            return
        if self.plan.kind == "rollback":
            self._status_for_rollback(event, now)
        elif same(event.active, self.hop.version):
            if event.committed is False:
                self._turn(Stage.COMMIT, now)
            else:
                self._arrived(now)
        elif event.committed is False:
            self._fail(explain(412, "pending commit"), ErrorCode.CONFLICT)
        elif self.memory.uploads >= self.limits.attempts:
            detail = self.memory.reason or "The device did not take the image."
            self._fail(f"{detail} Given up after {self.memory.uploads} attempts.", ErrorCode.DEVICE_ANSWER)
        else:
            self._turn(Stage.UPLOAD, now)

    def _status_for_rollback(self, status: Status, now: float) -> None:
        if status.inactive is None:
            self._end(Outcome.skipped(explain(404, "no rollback image")))
            return
        self.memory.back_to = status.inactive
        self._turn(Stage.ROLLBACK, now)

    # The image

    def _upload(self) -> Upload:
        if self.wiped:
            return Upload(self.hop, "started", "default", self.plan.factory_default)
        return Upload(self.hop, "never", str(self.limits.rollback_minutes), "none")

    def _on_upload(self, event: Event, now: float) -> None:
        memory = self.memory
        match event:
            case Accepted():
                memory.answer_lost = memory.down_seen = memory.restarted = False
                self._turn(Stage.RESTART, now)
            case Broken(complete=True):
                memory.answer_lost, memory.reason = True, event.detail
                memory.down_seen = memory.restarted = False
                self._turn(Stage.RESTART, now)
            case Broken() | Unreachable():
                # The device has only a part of the image, and so has installed nothing.
                memory.reason = event.detail
                self._turn(Stage.READY, now)
                self._pause = self.limits.poll
            case Refused(code=code) if code == BUSY:
                memory.reason = explain(event.code, event.message)
                memory.uploads -= 1
                self._turn(Stage.READY, now)
                memory.busy_since = memory.busy_since or now
                if now - memory.busy_since >= self.limits.busy:
                    self._fail(memory.reason, ErrorCode.CONFLICT)
                else:
                    self._pause = self.limits.poll
            case _:
                self._trouble(event, now, 0)

    # After the image

    def _on_restart(self, event: Event, now: float) -> None:
        late = "The device did not come back in time. If it starts, it goes back to the version before by itself."
        match event:
            case Ready(ready=True):
                self.memory.restarted = self.memory.restarted or self._restarted(event)
                if self.memory.restarted or self._untold(event):
                    self._turn(Stage.LOOK, self.memory.since)
                elif self.memory.answer_lost and now - self.memory.since >= self.limits.settle:
                    self._turn(Stage.READY, now)
                else:
                    detail = "The device took the image, but did not restart."
                    self._again(now, self.limits.restart, detail, ErrorCode.DEVICE_ANSWER)
            case LoginRefused() | Refused() | Wrong():
                self._again(now, self.limits.restart, f"{late} {said(event)}", ErrorCode.DEVICE_ANSWER)
            case _:
                self.memory.down_seen = True
                self._again(now, self.limits.restart, late, ErrorCode.DEVICE_UNREACHABLE)

    def _untold(self, event: Ready) -> bool:
        """Firmware before 11.11 does not tell its boot id: there only the version tells."""
        return self.memory.boot_id is None or event.boot_id is None

    def _restarted(self, event: Ready) -> bool:
        memory = self.memory
        if memory.boot_id and event.boot_id:
            return memory.boot_id != event.boot_id
        return memory.down_seen

    def _on_look(self, event: Event, now: float) -> None:
        match event:
            case Info() if same(event.version, self.hop.version):
                self._arrived(now) if self.wiped else self._turn(Stage.COMMIT, now)
            case Info() if same(event.version, self.memory.before):
                self._still_before(event, now)
            case Info():
                self._send_back(
                    f"After the upgrade the device runs {event.version}, not {self.hop.version}.", now
                )
            case LoginRefused():
                detail = f"After the upgrade the device refuses the log-in: {event.detail}"
                self._wait_for_revert(detail, ErrorCode.DEVICE_CREDENTIALS, now)
            case _:
                self.memory.down_seen |= isinstance(event, Unreachable)
                self._turn(Stage.RESTART, self.memory.since)
                detail = f"The device does not answer as it should after the upgrade. {said(event)}"
                self._again(now, self.limits.restart, detail, ErrorCode.DEVICE_ANSWER)

    def _still_before(self, info: Info, now: float) -> None:
        memory = self.memory
        # What looked like the restart may have been another one, just before: the image is still being installed.
        settled = now - memory.since >= self.limits.settle
        if memory.restarted and settled and memory.answer_lost:
            # Its power failed, or ours did: whether it had the whole image is not known.
            self._turn(Stage.READY, now)
        elif memory.restarted and settled:
            self._fail(
                f"The device started with {info.version} again: it could not start {self.hop.version} and went back "
                "by itself, or lost its power before the upgrade was committed.",
                ErrorCode.DEVICE_ANSWER,
            )
        elif memory.answer_lost and now - memory.since >= self.limits.settle:
            self._turn(Stage.READY, now)
        else:
            self._turn(Stage.RESTART, memory.since)
            detail = f"The device took the image, but still runs {info.version}."
            self._again(now, self.limits.restart, detail, ErrorCode.DEVICE_ANSWER)

    def _on_commit(self, event: Event, now: float) -> None:
        match event:
            case Accepted():
                self._arrived(now)
            case LoginRefused():
                self._wait_for_revert(event.detail, ErrorCode.DEVICE_CREDENTIALS, now)
            case Refused(code=code) if code != BUSY:
                self._send_back(f"The upgrade cannot be committed. {said(event)}", now)
            case _:
                # It may have lost its power and gone back: look before committing again.
                self._turn(Stage.LOOK, self.memory.since)
                self._pause = self.limits.poll
                if now - self.memory.since > self.limits.revert:
                    detail = f"The commit did not reach the device, which goes back by itself. {said(event)}"
                    self._fail(detail, ErrorCode.DEVICE_UNREACHABLE)

    def _arrived(self, now: float) -> None:
        memory = self.memory
        if memory.touched:
            memory.installed = [*memory.installed, self.hop.version]
        if memory.hop + 1 < len(self.plan.hops):
            memory.hop += 1
            memory.uploads, memory.touched, memory.answer_lost = 0, False, False
            memory.reason, memory.busy_since = "", None
            self._turn(Stage.READY, now)
        elif memory.installed:
            self._end(Outcome(WorkState.SUCCEEDED, f"It runs {self.hop.version}."))
        else:
            self._end(Outcome.skipped(f"It runs {self.hop.version} already.", None))

    # Back

    def _send_back(self, reason: str, now: float) -> None:
        self.memory.reason, self.memory.reason_code = reason[:MAX_DETAIL], ErrorCode.DEVICE_ANSWER
        self.memory.back_to = self.memory.before
        self._turn(Stage.ROLLBACK, now)

    def _wait_for_revert(self, reason: str, code: ErrorCode, now: float) -> None:
        """Not committed: its own timer brings the device back."""
        self.memory.reason, self.memory.reason_code = reason[:MAX_DETAIL], code
        self.memory.back_to = self.memory.before
        self.memory.rollbacks = MAX_ROLLBACKS
        self._turn(Stage.REVERT, now)
        self._pause = self.limits.poll

    def _on_rollback(self, event: Event, now: float) -> None:
        match event:
            case Refused():
                reason = f"{self.memory.reason} {explain(event.code, event.message)}".strip()
                self._fail(reason, ErrorCode.DEVICE_ANSWER)
            case _:
                # Even without an answer it may be on its way back.
                self.memory.touched = True
                self.memory.rollbacks += 1
                self._turn(Stage.REVERT, now)
                self._pause = self.limits.poll

    def _on_revert(self, event: Event, now: float) -> None:
        if isinstance(event, Ready) and event.ready:
            self._turn(Stage.REVERT_LOOK, self.memory.since)
        else:
            self._revert_again(now, said(event))

    def _on_revert_look(self, event: Event, now: float) -> None:
        if isinstance(event, Info) and self._is_back(event.version):
            if self.plan.kind == "rollback":
                self._end(Outcome(WorkState.SUCCEEDED, f"It is back on {event.version}."))
            else:
                self._fail(f"{self.memory.reason} It is back on {event.version}.", self.memory.reason_code)
            return
        lost = isinstance(event, Info) and now - self.memory.since >= self.limits.settle
        if lost and self.memory.rollbacks < MAX_ROLLBACKS:
            self._turn(Stage.ROLLBACK, now)
            return
        self._turn(Stage.REVERT, self.memory.since)
        self._revert_again(now, said(event))

    def _is_back(self, version: str) -> bool:
        if self.memory.back_to:
            return same(version, self.memory.back_to)
        return not same(version, self.memory.before)

    def _revert_again(self, now: float, said: str) -> None:
        rolls_back = self.plan.kind == "rollback"
        limit = self.limits.restart if rolls_back else self.limits.revert
        detail = f"{self.memory.reason} It did not come back to the version before in time. {said}".strip()
        self._again(now, limit, detail, ErrorCode.DEVICE_UNREACHABLE)

    # All of it

    def _trouble(self, event: Event, now: float, limit: float) -> None:
        """What is no answer to what was asked."""
        match event:
            case Unreachable() | Broken():
                self._again(now, limit, event.detail, ErrorCode.DEVICE_UNREACHABLE)
            case LoginRefused():
                self._fail(event.detail, ErrorCode.DEVICE_CREDENTIALS)
            case Refused(code=code) if code == BUSY:
                self._again(now, limit, explain(event.code, event.message), ErrorCode.CONFLICT)
            case Refused():
                self._fail(explain(event.code, event.message), ErrorCode.DEVICE_ANSWER)
            case Wrong() if self.memory.touched:
                self._again(now, limit, event.detail, ErrorCode.DEVICE_ANSWER)
            case _:
                self._fail(said(event), ErrorCode.DEVICE_ANSWER)

    def _again(self, now: float, limit: float, detail: str, code: ErrorCode) -> None:
        """Ask again in a while, until `limit` seconds after the stage began."""
        if now - self.memory.since >= limit:
            self._fail(detail, code)
        else:
            self._pause = self.limits.poll

    def _turn(self, stage: Stage, since: float) -> None:
        self.memory.stage, self.memory.since = stage, since

    def _fail(self, detail: str, code: str) -> None:
        done = self.memory.installed
        so_far = f" It runs {done[-1]}, which was installed on the way." if done else ""
        self._end(Outcome(WorkState.FAILED, (detail[: MAX_DETAIL - 100] + so_far), code))

    def _end(self, outcome: Outcome) -> None:
        self.memory.stage = Stage.DONE
        self._outcome = outcome
