"""AXIS OS management of one edge host: inventory, and the tasks that change versions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime

from farsite_edge.axis_os.folder import ImageFile, ImageFolder
from farsite_edge.axis_os.inventory import inventory
from farsite_edge.axis_os.plan import OLDEST, Plan, Skip, plan_upgrade
from farsite_edge.devices import Registry
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.tasks import Outcome, TaskRecord, TaskRunner, WorkRow
from farsite_signaling.wire.edge_tasks import (
    OsImages,
    OsInventory,
    RollbackRequest,
    UpgradeRequest,
    WorkState,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_versions import parse

UPGRADE, ROLLBACK = "os.upgrade", "os.rollback"
Sees = Callable[[str], bool]


class OsService:
    """`sees` tells which devices the caller may know of; others are answered like ones that do not exist."""

    def __init__(
        self,
        registry: Registry,
        folder: ImageFolder,
        runner: TaskRunner,
        offered: Callable[[list[ImageFile]], list[ImageFile]] = lambda _stored: [],
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._registry = registry
        self._folder = folder
        self._runner = runner
        self._today = today
        self._offered = offered

    async def images(self) -> OsImages:
        return OsImages(folder=str(self._folder.folder), images=await self._folder.images())

    async def inventory(self, sees: Sees) -> OsInventory:
        devices = [record for record in self._registry.all(managed=True) if sees(record.id)]
        return inventory(devices, await self._images(), self._today())

    async def _images(self) -> list[ImageFile]:
        """Those that are here come first: nothing is downloaded that is in the folder."""
        stored = await self._folder.usable()
        return [*stored, *self._offered(stored)]

    def needed(self) -> set[str]:
        """Images that upgrades under way will send to devices."""
        plans = [Plan.model_validate(row.payload) for row in self._runner.unfinished(UPGRADE)]
        return {hop.image for plan in plans for hop in plan.hops}

    async def upgrade(
        self, request: UpgradeRequest, sees: Sees, *, actor: str, session: str | None, idempotency: str | None
    ) -> TaskRecord:
        images = await self._images()
        today = self._today()
        record = _record(UPGRADE, f"AXIS OS {request.version or 'recommended'}", request, actor, session)
        plan = self._planned(sees, lambda device: plan_upgrade(device, request, images, today))
        return await self._runner.submit(record, _rows(record.id, request.ids, plan), idempotency)

    async def rollback(
        self,
        request: RollbackRequest,
        sees: Sees,
        *,
        actor: str,
        session: str | None,
        idempotency: str | None,
    ) -> TaskRecord:
        record = _record(ROLLBACK, "AXIS OS rollback", request, actor, session)
        rows = _rows(record.id, request.ids, self._planned(sees, _plan_rollback))
        return await self._runner.submit(record, rows, idempotency)

    def _planned(self, sees: Sees, plan: Callable[[DeviceRecord], Plan]) -> Callable[[str], Plan | Outcome]:
        def decide(device: str) -> Plan | Outcome:
            try:
                if not sees(device):
                    raise FarsiteError(
                        ErrorCode.DEVICE_UNKNOWN, f"There is no device {device} on this edge host."
                    )
                return plan(self._registry.managed(device))
            except FarsiteError as error:
                return Outcome(WorkState.SKIPPED, error.detail, error.code)
            except Skip as skip:
                return skip.outcome

        return decide


def _plan_rollback(record: DeviceRecord) -> Plan:
    if parse(record.version) < OLDEST:
        raise Skip(f"AXIS OS {record.version} cannot go back (7.40 and newer can).")
    return Plan(kind="rollback", model=record.model)


def _record(
    kind: str,
    title: str,
    request: UpgradeRequest | RollbackRequest,
    actor: str,
    session: str | None,
) -> TaskRecord:
    return TaskRecord(
        id=uuid.uuid4().hex,
        kind=kind,
        title=title,
        actor=actor,
        session=session,
        created_at=datetime.now(UTC),
        rollout=request.rollout,
    )


def _rows(task: str, ids: Iterable[str], decide: Callable[[str], Plan | Outcome]) -> list[WorkRow]:
    return [_row(task, number, device, decide(device)) for number, device in enumerate(dict.fromkeys(ids))]


def _row(task: str, number: int, device: str, decided: Plan | Outcome) -> WorkRow:
    if isinstance(decided, Plan):
        return WorkRow(task, number, device, decided.model_dump())
    return WorkRow(task, number, device, {}, decided.state, detail=decided.detail, code=decided.code)
