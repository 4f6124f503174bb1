"""What edge hosts tell of their devices, taken over once and in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.ids import new_id
from farsite_cloud.inventory import edge_tasks, images, tagging
from farsite_cloud.inventory.counting import Changes
from farsite_cloud.inventory.keys import address_key, cut, name_key, search_text, version_key
from farsite_cloud.inventory.models import InventoryPosition, ManagedDevice
from farsite_cloud.inventory.tagging import Thing
from farsite_cloud.notices.site_losses import look_for_losses
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.inventory import (
    DeviceFacts,
    InventoryAccepted,
    InventoryDelta,
    InventoryWanted,
)


async def receive(scope: Scope, edge_id: str, delta: InventoryDelta, now: datetime) -> list[BaseModel]:
    """The answers to it. Raises `not_found` for an edge host that was removed."""
    await EdgeHosts(scope).get(edge_id)
    statement = scope.select(InventoryPosition).where(InventoryPosition.id == edge_id)
    position = await scope.first(statement.with_for_update())
    if not fits(position, delta):
        if position is None:
            return [InventoryWanted()]
        return [InventoryWanted(epoch=position.epoch, position=position.position)]
    if position is None:
        position = InventoryPosition(
            id=edge_id, epoch="", position=0, complete=False, devices=0, updated_at=now
        )
        scope.add(position)
    await _Intake(scope, edge_id, delta, now).run(position)
    answers: list[BaseModel] = [InventoryAccepted(epoch=delta.epoch, position=delta.last)]
    marks = await tagging.pending(scope, edge_id)
    return answers if marks is None else [*answers, marks]


def fits(position: InventoryPosition | None, delta: InventoryDelta) -> bool:
    """Where the delta before ended, or the beginning of another epoch."""
    if position is None or position.epoch != delta.epoch:
        return delta.after == 0
    return position.position == delta.after <= delta.last


class _Intake:
    """One delta that fits."""

    def __init__(self, scope: Scope, edge_id: str, delta: InventoryDelta, now: datetime) -> None:
        self._scope = scope
        self._edge_id = edge_id
        self._delta = delta
        self._now = now
        self._changes = Changes()
        self._more = 0
        self._turned = False
        """Whether devices were lost, came back, or went."""

    async def run(self, position: InventoryPosition) -> None:
        delta = self._delta
        fresh = position.epoch != delta.epoch
        if fresh:
            position.epoch, position.complete = delta.epoch, False
            await images.forget(self._scope, self._edge_id)
        await self._take_devices()
        if delta.complete and not position.complete:
            await self._drop(await self._of_older_epochs())
            position.complete = True
        await self._take_own_tags()
        await images.take(self._scope, self._edge_id, delta.images, delta.images_gone, self._now)
        await edge_tasks.take(self._scope, self._edge_id, delta.tasks, delta.work, self._now)
        await self._changes.write(self._scope)
        # Whoever removed it meanwhile was waited for there.
        await EdgeHosts(self._scope).check_there(self._edge_id)
        position.devices += self._more
        position.position, position.updated_at = delta.last, self._now
        if self._turned:
            await self._scope.session.flush()
            await look_for_losses(self._scope, self._edge_id, position.devices, self._now)

    async def _take_devices(self) -> None:
        delta = self._delta
        facts = {one.serial: one for one in delta.devices}
        serials = [*facts, *delta.devices_gone]
        if not serials:
            return
        known = {row.serial: row for row in await self._devices(ManagedDevice.serial.in_(serials))}
        await self._drop([known[serial] for serial in delta.devices_gone if serial in known])
        rows = [(self._write(known.get(serial), one), one) for serial, one in facts.items()]
        with self._scope.session.no_autoflush:  # each row is written once, with its tags
            marks = await tagging.marks_of(self._scope, [row.id for row, _ in rows])
        for row, one in rows:
            thing = Thing(row.id, self._edge_id, row.serial, row.model, row.version)
            tagging.take(self._scope, thing, one.tags, marks, self._changes, self._now)
        tagging.show([row for row, _ in rows], marks)
        await self._scope.session.flush()

    def _write(self, row: ManagedDevice | None, facts: DeviceFacts) -> ManagedDevice:
        if row is None:
            self._more += 1
            row = ManagedDevice(id=new_id(self._now), edge_host_id=self._edge_id, serial=facts.serial)
            self._scope.add(row)
            row.unreachable_since = None
        else:
            self._changes.device(row, -1)
            self._turn(row, facts.state == DeviceState.UNREACHABLE)
        _fill(row, facts)
        row.epoch, row.changed_at = self._delta.epoch, self._now
        self._changes.device(row, 1)
        return row

    def _turn(self, row: ManagedDevice, unreachable: bool) -> None:
        if unreachable != (row.state == DeviceState.UNREACHABLE):
            row.unreachable_since = self._now if unreachable else None
            self._turned = True

    async def _of_older_epochs(self) -> Sequence[ManagedDevice]:
        return await self._devices(ManagedDevice.epoch != self._delta.epoch)

    async def _devices(self, condition: object) -> Sequence[ManagedDevice]:
        statement = self._scope.select(ManagedDevice).where(ManagedDevice.edge_host_id == self._edge_id)
        return await self._scope.all(statement.where(condition))  # type: ignore[arg-type]

    async def _drop(self, rows: Sequence[ManagedDevice]) -> None:
        self._more -= len(rows)
        self._turned |= any(row.unreachable_since is not None for row in rows)
        await drop(self._scope, rows, self._changes)

    async def _take_own_tags(self) -> None:
        if self._delta.tags is None:
            return
        known = await tagging.marks_of(self._scope, [self._edge_id])
        own = Thing(self._edge_id, self._edge_id)
        tagging.take(self._scope, own, self._delta.tags, known, self._changes, self._now)


async def drop(scope: Scope, rows: Sequence[ManagedDevice], changes: Changes) -> None:
    """Devices that are no longer an edge host's."""
    if not rows:
        return
    for row in rows:
        changes.device(row, -1)
    await tagging.forget(scope, [Thing(row.id, row.edge_host_id, row.serial) for row in rows], changes)
    await scope.change(scope.delete(ManagedDevice).where(ManagedDevice.id.in_([row.id for row in rows])))


def _short(text: str) -> str:
    """Of at most 120 bytes: it is indexed together with others."""
    return cut(clean(text), 120)


def _fill(row: ManagedDevice, facts: DeviceFacts) -> None:
    name = clean(facts.name or facts.hostname or facts.serial)
    row.name, row.name_key = name, name_key(name)
    row.model, row.product = _short(facts.model), _short(facts.product)
    row.device_type, row.state = _short(facts.device_type), clean(facts.state)
    row.version, row.version_key = _short(facts.version), version_key(facts.version)
    row.address, row.address_key = clean(facts.address), address_key(clean(facts.address))
    row.search = clean(search_text(facts))
    row.first_seen, row.last_seen = facts.first_seen, facts.last_seen
    row.details = {
        "hostname": clean(facts.hostname),
        "addresses": [clean(address[:100]) for address in facts.addresses],
        "http_port": facts.http_port,
        "https_port": facts.https_port,
        "capabilities": [clean(one[:64]) for one in facts.capabilities],
        "last_error": clean(facts.last_error),
    }
