"""Carries out what the policy machine asks, with a real device."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from farsite_edge.devices import DeviceManager
from farsite_edge.policies import exchange as x
from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.kind import Kind, Kinds, Wanted
from farsite_edge.policies.machine import Limits, Memory, PolicyMachine, Stage
from farsite_edge.policies.record import PolicyRecord, Result, compared
from farsite_edge.policies.store import PolicyStore
from farsite_edge.store import Vault
from farsite_edge.tasks.driver import Driver
from farsite_edge.tasks.record import Outcome
from farsite_edge.tasks.steady import steady
from farsite_edge.tasks.work import Work
from farsite_edge.vapix import Refused
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyState

POLICY = "policy"
LOOK_SECONDS = 120.0
_STORAGE = (ErrorCode.STORAGE_FAILED, ErrorCode.DISK_FULL)
_CLOUD_AWAY = (
    ErrorCode.CLOUD_UNREACHABLE,
    ErrorCode.PROXY_UNREACHABLE,
    ErrorCode.PROXY_AUTHENTICATION,
    ErrorCode.RATE_LIMITED,
    ErrorCode.UNAVAILABLE,
    ErrorCode.DEVICE_UNKNOWN,
)
"""It is asked again at the next check."""
_AWAY = (
    *_CLOUD_AWAY,
    ErrorCode.DEVICE_UNREACHABLE,
    ErrorCode.DEVICE_CREDENTIALS,
    ErrorCode.DEVICE_SETUP_REQUIRED,
    ErrorCode.DEVICE_CERTIFICATE_CHANGED,
)
AccessOf = Callable[[str], DeviceAccess]
logger = logging.getLogger(__name__)


class Payload(BaseModel):
    """What a row of a policy task says. `by_hand`: a user asked for it, so that nothing is too often tried."""

    model_config = ConfigDict(extra="ignore")

    policy: str
    by_hand: bool = False


class PolicyJob:
    """The job of tasks of the kind `policy`, for policies of every kind."""

    def __init__(
        self,
        manager: DeviceManager,
        store: PolicyStore,
        vault: Vault,
        kinds: Kinds,
        access: AccessOf,
        limits: Limits,
        *,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._manager = manager
        self._store = store
        self._vault = vault
        self._kinds = kinds
        self._access = access
        self._limits = limits
        self._clock = clock

    def hold(self, device: str) -> None:
        self._manager.hold(device)

    async def release(self, device: str) -> None:
        await self._manager.release(device)

    async def __call__(self, work: Work) -> Outcome:
        payload = Payload.model_validate(work.payload)
        record = self._store.find(payload.policy)
        row = self._store.row(payload.policy, work.device)
        if record is None or row is None:
            return Outcome.skipped("The policy is not applied to the device any more.", None)
        kind = self._kinds.find(record.kind)
        if kind is None:
            detail = f"This version of Farsite knows no policies of the kind {record.kind[:64]}."
            return Outcome(WorkState.FAILED, detail, ErrorCode.UNAVAILABLE)
        wanted = Wanted(record.id, record.settings, await self._secrets(record))
        machine = self._machine(work, record, row.result, by_hand=payload.by_hand)
        run = Run(self._manager, self._access(work.device), kind, wanted, machine, work, self._clock)
        try:
            outcome = await run.drive()
        except FarsiteError as error:
            if error.code in _STORAGE:
                raise
            outcome = Outcome.failed(error)
        await self._keep(work.device, record, machine, outcome)
        return outcome

    def _machine(self, work: Work, record: PolicyRecord, result: Result, *, by_hand: bool) -> PolicyMachine:
        now = self._clock()
        version = self._manager.registry.get(work.device).version
        skip = frozenset() if by_hand else result.tired(record.revision, version)
        if work.memory is None:
            return PolicyMachine.begin(self._limits, now, enforce=record.enforced, skip=skip)
        memory = Memory.model_validate(work.memory)
        logger.info("device %s: policy %s resumed at %s", work.device, record.id, memory.stage)
        return PolicyMachine.resume(memory, self._limits, now, enforce=record.enforced, skip=skip)

    async def _secrets(self, record: PolicyRecord) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, place in record.secrets.items():
            secret = await self._vault.get(place)
            if secret is None:
                raise FarsiteError(
                    ErrorCode.PRECONDITION_FAILED,
                    f"The policy's {name} is not in the vault any more. Edit the policy and enter it again.",
                )
            found[name] = secret
        return found

    async def _keep(
        self, device: str, record: PolicyRecord, machine: PolicyMachine, outcome: Outcome
    ) -> None:
        row = self._store.row(record.id, device)
        if row is None or outcome.state is WorkState.CANCELLED:
            return
        if machine.stage is not Stage.DONE or not machine.looked:
            await self._store.keep(record.id, device, _unseen(row.result, outcome))
            return
        result = compared(
            row.result,
            machine.findings,
            now=datetime.now(UTC),
            revision=record.revision,
            version=self._manager.registry.get(device).version,
            enforced=record.enforced,
            changed=machine.memory.changed,
            reasons=machine.memory.reasons,
            given_up=machine.memory.given_up,
        )
        if outcome.state is WorkState.FAILED:
            result = result.model_copy(update={"detail": outcome.detail, "code": outcome.code})
        await self._store.keep(record.id, device, result)


def _unseen(result: Result, outcome: Outcome) -> Result:
    if outcome.code in _AWAY:
        return result.unseen(outcome.detail, outcome.code)
    values = {"state": PolicyState.FAILED, "detail": outcome.detail, "code": outcome.code}
    return result.model_copy(update=values | {"checked_at": datetime.now(UTC)})


class Run(Driver[x.Action, x.Event]):
    """One device on its way to what a policy wants."""

    def __init__(
        self,
        manager: DeviceManager,
        access: DeviceAccess,
        kind: Kind,
        wanted: Wanted,
        machine: PolicyMachine,
        work: Work,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(machine, work, clock)
        self._manager = manager
        self._access = access
        self._kind = kind
        self._wanted = wanted
        self._machine = machine

    @property
    def _begun(self) -> bool:
        return self._machine.under_way

    async def _save(self, action: x.Action) -> None:
        """A look changes nothing: it is not written down."""
        if not isinstance(action, x.Apply | x.Verify | x.Undo) and self._work.memory is None:
            return
        memory = self._machine.memory.model_dump(mode="json")
        if memory == self._work.memory:
            return
        await self._work.checkpoint(memory, self._machine.stage.value, _sentence(action))
        steps = self._machine.memory.steps
        if steps:
            self._work.progress(self._machine.memory.index / len(steps))

    def _cancelled(self) -> Outcome:
        done = len(self._machine.memory.changed)
        detail = (
            f"Cancelled after {done} settings were applied." if done else "Cancelled; nothing was changed."
        )
        return Outcome(WorkState.CANCELLED, detail)

    async def _ask(self, action: x.Action) -> x.Event:
        try:
            async with asyncio.timeout(self._seconds(action)):
                return await self._act(action)
        except TimeoutError:
            return x.Unreachable("The device does not answer in time.")
        except FarsiteError as error:
            return await self._event_of(error)

    def _seconds(self, action: x.Action) -> float:
        match action:
            case x.Apply(step=step) | x.Verify(step=step) | x.Undo(step=step):
                return step.seconds
            case x.Look():
                return LOOK_SECONDS
        return self._manager.contact.timeout

    async def _act(self, action: x.Action) -> x.Event:
        kind, access, wanted = self._kind, self._access, self._wanted
        match action:
            case x.AskReady():
                async with access.client(anonymous=True) as client:
                    seen = await client.system_ready()
                return x.Ready(seen.ready, seen.setup_required)
            case x.Look(careful=careful):
                return await self._look(careful)
            case x.Apply(step=step):
                await kind.apply(access, wanted, step)
            case x.Verify(step=step):
                return x.Verified(await kind.verify(access, wanted, step))
            case x.Undo(step=step):
                await kind.undo(access, wanted, step)
        return x.Done()

    async def _look(self, careful: bool) -> x.Looked:
        facts = await self._kind.read(self._access, self._wanted)
        findings = self._kind.evaluate(self._wanted, facts)
        usable = [one for one in findings if one.setting not in self._machine.excluded]
        return x.Looked(findings, self._kind.plan(self._wanted, facts, usable, careful=careful))

    async def _event_of(self, error: FarsiteError) -> x.Event:
        match error.code:
            case ErrorCode.DEVICE_CREDENTIALS:
                await self._login_refused()
                return x.LoginRefused(error.detail)
            case ErrorCode.DEVICE_UNREACHABLE:
                return x.Unreachable(error.detail)
            case ErrorCode.DEVICE_SETUP_REQUIRED:
                return x.Ready(ready=True, setup_required=True)
            case ErrorCode.DEVICE_CERTIFICATE_CHANGED if self._machine.under_way:
                return x.Unreachable(error.detail)
            case ErrorCode.DEVICE_ANSWER if not isinstance(error, Refused):
                return x.Wrong(error.detail)
            case ErrorCode.DEVICE_ANSWER | ErrorCode.INVALID_REQUEST:
                return x.Refused(error.detail)
        raise error

    async def _login_refused(self) -> None:
        """What is kept is not tried again by itself, unless our own change may be the reason."""
        if not self._machine.under_way and not self._machine.memory.changed:
            await self._manager.refused(self._access.device)


def _sentence(action: x.Action) -> str:
    match action:
        case x.Apply(step=step):
            return step.title
        case x.Verify(step=step):
            return f"Checks: {step.title}"
        case x.Undo(step=step):
            return f"Undoes: {step.title}"
        case x.Look():
            return "Compares the device with the policy."
    return ""
