"""Policies of one edge host: made, changed, applied to devices, taken away, deleted; and tasks that carry them out."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from farsite_edge.devices import Registry
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.policies.job import POLICY, Payload
from farsite_edge.policies.kind import Kind, Kinds, Settings
from farsite_edge.policies.record import PolicyRecord, Result
from farsite_edge.policies.security.password import PREFIX as PASSWORD_PREFIX
from farsite_edge.policies.store import PolicyStore
from farsite_edge.store import Vault
from farsite_edge.tasks import TaskRecord, TaskRunner, WorkRow
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import (
    AssignResult,
    PolicyChange,
    PolicyCreate,
    PolicyKind,
    PolicyMode,
    PolicyTemplate,
    Selection,
)

Sees = Callable[[str], bool]
AWAY = {
    DeviceState.UNREACHABLE: ErrorCode.DEVICE_UNREACHABLE,
    DeviceState.CREDENTIALS_REQUIRED: ErrorCode.DEVICE_CREDENTIALS,
    DeviceState.SETUP_REQUIRED: ErrorCode.DEVICE_SETUP_REQUIRED,
    DeviceState.CERTIFICATE_CHANGED: ErrorCode.DEVICE_CERTIFICATE_CHANGED,
}
BY_ITSELF = "policy"
"""The actor of tasks nobody asked for."""
logger = logging.getLogger(__name__)


def everyone(_device: str) -> bool:
    return True


class PolicyService:
    """`sees` tells which devices the caller may know of; others are answered like ones that do not exist."""

    def __init__(
        self, store: PolicyStore, kinds: Kinds, registry: Registry, vault: Vault, runner: TaskRunner
    ) -> None:
        self.store = store
        self.kinds = kinds
        self._registry = registry
        self._vault = vault
        self._runner = runner
        self.unsettled: frozenset[str] = frozenset()

    async def look_for_unsettled(self) -> None:
        """Devices whose password was being changed: which one they have is found out whatever their state is."""
        names = await self._vault.names(PASSWORD_PREFIX)
        self.unsettled = frozenset(name.removeprefix(PASSWORD_PREFIX) for name in names)

    def out_of_reach(self, device: DeviceRecord) -> ErrorCode | None:
        """Why a device cannot be looked at now."""
        if device.state is DeviceState.CREDENTIALS_REQUIRED and device.id in self.unsettled:
            return None
        return AWAY.get(device.state)

    # Policies

    def described(self) -> list[PolicyKind]:
        return [
            PolicyKind(name=kind.name, title=kind.title, exclusive=kind.exclusive, settings=kind.describe())
            for kind in self.kinds
        ]

    async def create(
        self,
        request: PolicyCreate,
        *,
        actor: str,
        session: str | None = None,
        idempotency: str | None = None,
    ) -> PolicyRecord:
        """Raises `invalid_request` for settings that make no sense, `conflict` for a name in use."""
        kind = self.kinds.get(request.kind)
        record = self._new(kind, request.name, request.mode, actor, session)
        given = kind.recommended() if request.settings is None else request.settings
        return await self._made(kind, record, given, {}, idempotency)

    async def change(self, policy: str, change: PolicyChange) -> PolicyRecord:
        """Devices are looked at again when settings or mode are others now."""
        old = self.store.get(policy)
        kind = self.kinds.get(old.kind)
        values: dict[str, Any] = {"revision": old.revision + 1, "changed_at": datetime.now(UTC)}
        if change.name is not None:
            self._check_name(change.name, old.id)
            values["name"] = change.name
        if change.mode is not None:
            values["mode"] = change.mode
        record = old.model_copy(update=values)
        if change.settings is not None:
            record = await self._with_settings(kind, record, change.settings, {}, old.secrets)
        await self.store.change(record)
        await self._forget(set(old.secrets.values()) - set(record.secrets.values()))
        return record

    async def delete(self, policy: str) -> PolicyRecord:
        """Devices keep their settings; nothing enforces them any more."""
        record = self.store.get(policy)
        await self.store.delete(policy)
        await self._forget(record.secrets.values())
        return record

    async def warnings(self, record: PolicyRecord) -> list[str]:
        """Why it cannot be carried out here as things are."""
        kind = self.kinds.find(record.kind)
        try:
            return [] if kind is None else await kind.warnings(record.settings)
        except FarsiteError as error:
            return [error.detail]

    def _new(self, kind: Kind, name: str, mode: PolicyMode, actor: str, session: str | None) -> PolicyRecord:
        now = datetime.now(UTC)
        return PolicyRecord(
            id=uuid.uuid4().hex[:16],
            kind=kind.name,
            name=name,
            mode=mode,
            settings={},
            created_at=now,
            changed_at=now,
            created_by=actor,
            session=session,
        )

    async def _made(
        self,
        kind: Kind,
        record: PolicyRecord,
        given: Settings,
        secrets: Mapping[str, str],
        idempotency: str | None = None,
    ) -> PolicyRecord:
        if idempotency is None or not await self.store.was_made(idempotency):
            self._check_name(record.name, record.id)
        record = await self._with_settings(kind, record, given, secrets, {})
        made = await self.store.create(record, idempotency)
        if made.id != record.id:
            await self._forget(record.secrets.values())
        return made

    async def _with_settings(
        self,
        kind: Kind,
        record: PolicyRecord,
        given: Settings,
        more: Mapping[str, str],
        before: Mapping[str, str],
    ) -> PolicyRecord:
        """Secrets go to the vault first: a crash leaves one too many there, never a policy without its own."""
        settings, secrets = _split(kind, given, more)
        for name in kind.secrets:
            if settings.get(name) is True and name not in secrets and name not in before:
                raise _missing_secret(name)
        known = {name: secret for name, place in before.items() if (secret := await self._vault.get(place))}
        settings = kind.validate(settings, {**known, **secrets})
        places = {name: place for name, place in before.items() if settings.get(name) is True}
        for name, secret in secrets.items():
            places[name] = f"policy:{record.id}:{name}:{uuid.uuid4().hex[:8]}"
            await self._vault.put(places[name], secret)
        return record.model_copy(update={"settings": settings, "secrets": places})

    async def _forget(self, places: Iterable[str]) -> None:
        for place in places:
            await self._vault.forget(place)

    def _check_name(self, name: str, own: str) -> None:
        for other in self.store.all():
            if other.id != own and other.name.casefold() == name.casefold():
                raise FarsiteError(
                    ErrorCode.CONFLICT,
                    f"There is a policy called {other.name!r} already. Choose another name.",
                )

    # Devices

    async def assign(
        self, policy: str, ids: Iterable[str], sees: Sees = everyone, *, replace: bool = False
    ) -> list[AssignResult]:
        """Apply a policy to devices; `task` of `check` then carries it out."""
        record = self.store.get(policy)
        results = [self._assignable(record, device, sees, replace) for device in dict.fromkeys(ids)]
        good = [one.device for one in results if one.ok]
        await self.store.assign(policy, good, self._left(record, good))
        return results

    def _left(self, record: PolicyRecord, devices: Iterable[str]) -> list[tuple[str, str]]:
        if not self._exclusive(record):
            return []
        others = [(self.store.of_kind(record.kind, device), device) for device in devices]
        return [(one.id, device) for one, device in others if one is not None and one.id != record.id]

    def _exclusive(self, record: PolicyRecord) -> bool:
        kind = self.kinds.find(record.kind)
        return kind is None or kind.exclusive

    def _assignable(self, record: PolicyRecord, device: str, sees: Sees, replace: bool) -> AssignResult:
        try:
            if not sees(device):
                raise FarsiteError(
                    ErrorCode.DEVICE_UNKNOWN, f"There is no device {device} on this edge host."
                )
            self._registry.managed(device)
            other = self.store.of_kind(record.kind, device) if self._exclusive(record) else None
            if other is not None and other.id != record.id and not replace:
                raise FarsiteError(
                    ErrorCode.CONFLICT,
                    f"The device has the policy {other.name!r} of the same kind, and the two would work against each "
                    "other. Remove it from that one first, or replace that one.",
                )
        except FarsiteError as error:
            return AssignResult(device=device, ok=False, code=error.code, detail=error.detail)
        return AssignResult(device=device, ok=True)

    async def unassign(self, policy: str, ids: Iterable[str], sees: Sees = everyone) -> list[AssignResult]:
        """The devices keep their settings."""
        self.store.get(policy)
        chosen = [device for device in dict.fromkeys(ids) if sees(device)]
        had = {row.device for row in self.store.devices(policy)} & set(chosen)
        await self.store.unassign(policy, had)
        return [_left_result(device, device in had) for device in dict.fromkeys(ids)]

    # Work

    async def check(
        self,
        policy: str,
        devices: Sequence[str] | None = None,
        *,
        actor: str = BY_ITSELF,
        session: str | None = None,
        idempotency: str | None = None,
    ) -> TaskRecord | None:
        """Compare devices with the policy, and apply it where it is enforced; all of its devices unless some are named.
        `None` when there is no device. Those out of reach are done when they are back."""
        record = self.store.get(policy)
        rows = [row for row in self.store.devices(policy) if devices is None or row.device in set(devices)]
        rows = [row for row in rows if self._is_managed(row.device)]
        if not rows:
            return None
        task = self._task(record, actor, session)
        by_hand = actor != BY_ITSELF
        work = [
            await self._work(task.id, number, record, row.device, by_hand) for number, row in enumerate(rows)
        ]
        return await self._runner.submit(task, work, idempotency)

    def _is_managed(self, device: str) -> bool:
        try:
            return self._registry.get(device).managed
        except FarsiteError:
            return False

    def _task(self, record: PolicyRecord, actor: str, session: str | None) -> TaskRecord:
        kind = self.kinds.get(record.kind)
        does = "Apply" if record.enforced else "Check"
        return TaskRecord(
            id=uuid.uuid4().hex,
            kind=POLICY,
            title=f"{does} {record.name}"[:200],
            actor=actor,
            session=session,
            created_at=datetime.now(UTC),
            rollout=kind.rollout(record.settings),
        )

    async def _work(
        self, task: str, number: int, record: PolicyRecord, device: str, by_hand: bool
    ) -> WorkRow:
        state = self._registry.get(device).state
        payload = Payload(policy=record.id, by_hand=by_hand).model_dump()
        code = self.out_of_reach(self._registry.get(device))
        if code is None:
            return WorkRow(task, number, device, payload)
        detail = f"The device is in the state {state.value}; it is done when the device is back."
        row = self.store.row(record.id, device)
        before = row.result if row is not None else Result()
        await self.store.keep(record.id, device, before.unseen(detail, code))
        return WorkRow(task, number, device, payload, WorkState.SKIPPED, detail=detail, code=code)

    def at_work(self) -> set[tuple[str, str]]:
        """(policy, device) of tasks that are not finished."""
        return {(row.payload.get("policy", ""), row.device) for row in self._runner.unfinished(POLICY)}

    async def tidy(self) -> None:
        """Devices that are managed no more leave their policies."""
        for record in self.store.all():
            gone = [row.device for row in self.store.devices(record.id) if not self._is_managed(row.device)]
            if gone:
                await self.store.unassign(record.id, gone)

    async def forget_uneventful(self, task: str) -> None:
        """A check nobody asked for that changed nothing: its result is with the policy, the list of tasks stays short."""
        if all(uneventful(row) for row in await self._runner.store.rows(task)):
            await self._runner.store.forget(task)

    # Templates

    def export(self, policy: str) -> PolicyTemplate:
        """Without secrets."""
        record = self.store.get(policy)
        return PolicyTemplate(
            id=record.template or record.id,
            revision=record.template_revision or record.revision,
            kind=record.kind,
            name=record.name,
            mode=record.mode,
            settings=record.settings,
            secrets=sorted(record.secrets),
        )

    async def apply_template(
        self,
        document: PolicyTemplate,
        selection: Selection,
        actor: str,
        *,
        session: str | None = None,
        secrets: Mapping[str, str] | None = None,
        sees: Sees = everyone,
        idempotency: str | None = None,
    ) -> tuple[PolicyRecord, list[AssignResult], TaskRecord | None]:
        """Make a policy from a document, or change the one made from it before, and apply it to devices. Applied twice
        it is the same. Raises `invalid_request`, also when a secret is missing, and then has changed nothing."""
        record = await self._from_template(document, actor, session, secrets or {})
        results = await self.assign(record.id, self._chosen(selection, sees), sees, replace=selection.replace)
        task = await self.check(record.id, actor=actor, session=session, idempotency=idempotency)
        return record, results, task

    async def _from_template(
        self, document: PolicyTemplate, actor: str, session: str | None, secrets: Mapping[str, str]
    ) -> PolicyRecord:
        kind = self.kinds.get(document.kind)
        known = self.store.of_template(document.id) if document.id else None
        if known is None:
            record = self._new(kind, self._free_name(document.name), document.mode, actor, session)
            origin = {"template": document.id, "template_revision": document.revision}
            return await self._made(kind, record.model_copy(update=origin), document.settings, secrets)
        if known.template_revision == document.revision and not secrets:
            return known
        return await self._renewed(kind, known, document, secrets)

    async def _renewed(
        self, kind: Kind, known: PolicyRecord, document: PolicyTemplate, secrets: Mapping[str, str]
    ) -> PolicyRecord:
        values = {
            "mode": document.mode,
            "revision": known.revision + 1,
            "changed_at": datetime.now(UTC),
            "template_revision": document.revision,
        }
        record = known.model_copy(update=values)
        record = await self._with_settings(kind, record, document.settings, secrets, known.secrets)
        await self.store.change(record)
        await self._forget(set(known.secrets.values()) - set(record.secrets.values()))
        return record

    def _free_name(self, name: str) -> str:
        taken = {one.name.casefold() for one in self.store.all()}
        number, free = 1, name
        while free.casefold() in taken:
            number += 1
            free = f"{name[:90]} ({number})"
        return free

    def _chosen(self, selection: Selection, sees: Sees) -> list[str]:
        models = {model.casefold() for model in selection.models}
        managed = [one for one in self._registry.all(managed=True) if sees(one.id)]
        chosen = [one.id for one in managed if selection.everything or one.model.casefold() in models]
        return [*selection.ids, *chosen]


def uneventful(row: WorkRow) -> bool:
    """Nothing was begun on the device: the first step would have been written down."""
    return row.memory is None and row.state in (WorkState.SUCCEEDED, WorkState.SKIPPED)


def _split(kind: Kind, given: Settings, more: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Settings without secrets, and the secrets."""
    settings, secrets = dict(given), {name: text for name, text in more.items() if name in kind.secrets}
    for name in kind.secrets:
        value = settings.get(name)
        if isinstance(value, str):
            secrets[name] = value
        if name in secrets:
            settings[name] = True
    return settings, secrets


def _missing_secret(name: str) -> FarsiteError:
    detail = f"The policy needs the secret {name}, which is not in a document. Give it too."
    return FarsiteError(ErrorCode.INVALID_REQUEST, detail, errors=[{"field": name, "message": "is missing"}])


def _left_result(device: str, ok: bool) -> AssignResult:
    if ok:
        return AssignResult(device=device, ok=True)
    detail = f"The policy is not applied to a device {device[:64]}."
    return AssignResult(device=device, ok=False, code=ErrorCode.DEVICE_UNKNOWN, detail=detail)
