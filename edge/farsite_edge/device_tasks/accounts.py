"""First accounts, new passwords and service accounts, as tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from farsite_edge.device_tasks.holding import done
from farsite_edge.device_tasks.secrets import TaskSecrets
from farsite_edge.devices import DeviceManager
from farsite_edge.devices.accounts import Change
from farsite_edge.devices.credentials import Candidate
from farsite_edge.devices.passwords import new_name, new_password
from farsite_edge.devices.rotation import Step
from farsite_edge.tasks import Outcome, Work
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.os_versions import version_tuple

_SENTENCES = {
    Step.SET: "Tells the device.",
    Step.TRY_NEW: "Tries the new log-in.",
    Step.USE: "The new log-in works: it is used from now on.",
    Step.ONVIF: "Gives an ONVIF account of the same name the same password.",
    Step.TRY_OLD: "Tries whether the old log-in is refused.",
    Step.DROP: "The device goes on with its old log-in.",
}
_DONE = {
    Change.FIRST: "Its first account is made: {name}.",
    Change.ROTATE: "The password of {name} is changed: the new one works, the old one is refused.",
    Change.OWN: "The edge host has an account of its own: {name}. The one used before is left as it is.",
}
_WRONG = {
    Step.FAILED: "The device did not take it and goes on with its old log-in. {said}",
    Step.APART: "The new password works and is used, but the device's ONVIF account of that name has the former one. "
    "Try again. {said}",
    Step.BOTH: "The new password works, but the device still takes the old one too. Look at its accounts.",
    Step.LOST: "The device takes neither the new nor the old log-in; both are kept. Log in to it again.",
}
FULL_NAMES = (11, 5)  # before, the first account is root


class AccountTask:
    """One kind of change. Called again after a crash, it finds out how far it came."""

    def __init__(self, manager: DeviceManager, secrets: TaskSecrets, change: Change) -> None:
        self._manager = manager
        self._secrets = secrets
        self._change = change

    async def __call__(self, work: Work) -> Outcome:
        device = work.device
        noted = self._note(work)
        if work.memory is None:
            candidate = await self._candidate(work)
            await self._check(device)
            await work.checkpoint({"step": Step.KEEP.value}, "keep", "Keeps the new log-in.")
            step, said = await self._manager.accounts.change(device, candidate, self._change, noted)
        else:
            step, said = await self._resume(work, noted)
        return await self._outcome(device, step, said)

    async def _resume(self, work: Work, noted: Callable[[Step], Awaitable[None]]) -> tuple[Step, str]:
        step = Step(str((work.memory or {}).get("step", Step.KEEP)))
        if step is Step.KEEP and await self._manager.credentials.candidate(work.device) is None:
            candidate = await self._candidate(work)
            return await self._manager.accounts.change(work.device, candidate, self._change, noted)
        was_used = step in (Step.USE, Step.ONVIF, Step.TRY_OLD)
        return await self._manager.accounts.go_on(work.device, self._change, was_used=was_used, noted=noted)

    def _note(self, work: Work) -> Callable[[Step], Awaitable[None]]:
        async def note(step: Step) -> None:
            await work.checkpoint({"step": step.value}, step.value, _SENTENCES[step])

        return note

    async def _check(self, device: str) -> None:
        """Raises why nothing can be done."""
        record = self._manager.registry.managed(device)
        if device in self._manager.credentials.unresolved:
            await self._manager.accounts.resolve(record)
        if self._change is Change.FIRST:
            await self._manager.check_new(record)
        else:
            await self._manager.credentials.needed(device)

    async def _candidate(self, work: Work) -> Candidate:
        given = await self._secrets.get(str(work.payload["secret"])) if work.payload.get("secret") else []
        password = given[0].password if given else new_password()
        if self._change is Change.OWN:
            return Candidate(username=new_name(), password=password, own=True)
        if self._change is Change.FIRST:
            return Candidate(username=str(work.payload["username"]), password=password)
        kept = await self._manager.credentials.kept(work.device)
        own = self._manager.registry.managed(work.device).service_account
        return Candidate(username=kept.username if kept else "root", password=password, own=own)

    async def _outcome(self, device: str, step: Step, said: str) -> Outcome:
        if step is not Step.DONE:
            code = ErrorCode.DEVICE_CREDENTIALS if step is Step.LOST else ErrorCode.DEVICE_ANSWER
            return Outcome(WorkState.FAILED, _WRONG[step].format(said=said).strip()[:500], code)
        kept = await self._manager.credentials.kept(device)
        name = kept.username if kept else ""
        note = await self._left_behind(device) if self._change is Change.FIRST else ""
        return done(_DONE[self._change].format(name=name) + note)

    async def _left_behind(self, device: str) -> str:
        record = self._manager.registry.managed(device)
        kept = await self._manager.credentials.kept(device)
        old = record.version and version_tuple(record.version) < FULL_NAMES
        if kept is None or kept.username == "root" or not old:
            return ""
        return " This firmware needs root too: it has the same password."
