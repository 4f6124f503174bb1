"""The inventory's way to the cloud: everything once, in order, whatever is lost or killed on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farsite_edge.core import EdgeCore
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.devices.registry import Registry
from farsite_edge.devices.tags import EDGE_HOST, Tags
from farsite_edge.inventory.cursor import Cursor
from farsite_edge.inventory.journal import Journal
from farsite_edge.inventory.sender import InventorySender
from farsite_edge.tasks import TaskRecord, TaskStore, WorkRow
from farsite_edge.tasks.record import Outcome
from farsite_edge.testing import test_settings
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import MAX_MESSAGE, dump
from farsite_signaling.wire.inventory import (
    InventoryAccepted,
    InventoryDelta,
    InventoryWanted,
    TagMark,
    ThingTags,
)


class Cloud:
    """Takes deltas by the rule of `wire.inventory`; loses messages and answers by chance."""

    def __init__(self, loss: float = 0.0) -> None:
        self.epoch: str | None = None
        self.position = 0
        self.devices: dict[str, str] = {}
        self.snapshots = 0
        self.sizes: list[int] = []
        self.answer: Callable[[InventoryAccepted | InventoryWanted], None] = lambda _answer: None
        self._seen: set[str] = set()
        self._loss = loss
        self._chance = random.Random(3)
        self._whole = True
        self._told = asyncio.Event()

    async def send(self, delta: InventoryDelta) -> None:
        self.sizes.append(len(dump(delta)))
        if self._chance.random() < self._loss:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, "Not connected.")
        answer = self.take(delta)
        if self._chance.random() >= self._loss:
            self.answer(answer)
        self._told.set()

    def take(self, delta: InventoryDelta) -> InventoryAccepted | InventoryWanted:
        anew = delta.epoch != self.epoch
        if delta.after != (0 if anew else self.position):
            return InventoryWanted(epoch=self.epoch, position=self.position)
        if anew:
            self.epoch, self._whole, self._seen = delta.epoch, False, set()
            self.snapshots += 1
        for device in delta.devices:
            self.devices[device.serial] = device.version
            self._seen.add(device.serial)
        for gone in delta.devices_gone:
            self.devices.pop(gone, None)
        if delta.complete and not self._whole:
            self._whole = True
            self.devices = {serial: self.devices[serial] for serial in self._seen & set(self.devices)}
        self.position = delta.last
        return InventoryAccepted(epoch=delta.epoch, position=delta.last)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                self._told.clear()
                await self._told.wait()


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[EdgeCore]:
    async with EdgeCore(test_settings(tmp_path)) as core:
        yield core


async def managed(registry: Registry, *serials: str, version: str = "11.0.1") -> None:
    records = [
        DeviceRecord(
            id=serial, managed=True, state=DeviceState.REACHABLE, address="192.0.2.1", version=version
        )
        for serial in serials
    ]
    await registry._write(records)
    registry._records.update({record.id: record for record in records})


def sender(core: EdgeCore, cloud: Cloud) -> InventorySender:
    made = InventorySender(
        Journal(core.database, core.facts), cloud.send, interval=0.01, answer_timeout=0.02, gathering=0
    )
    cloud.answer = made.answered
    return made


async def deliver(core: EdgeCore, cloud: Cloud, true: Callable[[], bool]) -> None:
    """Sends until it is true."""
    made = sender(core, cloud)
    await _while(made.run(), cloud.until(true))


async def _while(background: Awaitable[None], work: Awaitable[None]) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_run(background))
        await work
        task.cancel()


async def _run(work: Awaitable[None]) -> None:
    await work


async def caught_up(core: EdgeCore, cloud: Cloud) -> None:
    """In this order: nothing waits, and nothing was sent twice in effect."""
    journal = Journal(core.database, core.facts)
    while (delta := await journal.next()) is not None:
        await journal.sending(delta)
        answer = cloud.take(delta)
        if isinstance(answer, InventoryAccepted):
            await journal.accepted(answer.epoch, answer.position, complete=delta.complete)
        else:
            await journal.wanted(answer.epoch, answer.position)


@pytest.mark.parametrize("loss", [0.0, 0.4])
async def test_all_devices_arrive_in_bounded_messages(loss: float, core: EdgeCore) -> None:
    registry, cloud = Registry(core.database), Cloud(loss)
    serials = [f"ACCC8E{number:06X}" for number in range(900)]
    await managed(registry, *serials)
    await deliver(core, cloud, lambda: len(cloud.devices) == 900)
    assert cloud.snapshots == 1
    assert max(cloud.sizes) < MAX_MESSAGE
    assert len(cloud.sizes) > 3


async def test_changes_removals_and_what_comes_back(core: EdgeCore) -> None:
    registry, cloud = Registry(core.database), Cloud()
    await managed(registry, "A1", "A2", "A3")
    await caught_up(core, cloud)
    await registry.update("A1", version="12.1")
    await registry.update("A1", version="12.2")
    await registry.release("A2")
    journal = Journal(core.database, core.facts)
    delta = await journal.next()
    assert delta is not None
    assert [(device.serial, device.version) for device in delta.devices] == [("A1", "12.2")]
    assert delta.devices_gone == ["A2"]
    await caught_up(core, cloud)
    await registry.manage("A2")
    await caught_up(core, cloud)
    assert sorted(cloud.devices) == ["A1", "A2", "A3"]
    assert cloud.snapshots == 1


async def test_discovered_devices_are_not_told(core: EdgeCore) -> None:
    registry, cloud = Registry(core.database), Cloud()
    await registry._write([DeviceRecord(id="B1", address="192.0.2.2")])
    await caught_up(core, cloud)
    assert cloud.devices == {}


async def test_what_was_not_sent_outlives_the_process(tmp_path: Path) -> None:
    cloud = Cloud()
    async with EdgeCore(test_settings(tmp_path)) as core:
        registry = Registry(core.database)
        await managed(registry, "A1", "A2")
        await caught_up(core, cloud)
        await registry.release("A1")
    async with EdgeCore(test_settings(tmp_path)) as core:
        await caught_up(core, cloud)
    assert (list(cloud.devices), cloud.snapshots) == (["A2"], 1)


async def test_killed_between_sending_and_the_answer(tmp_path: Path) -> None:
    """The cloud has it, the edge host does not know: it asks, and goes on without telling everything anew."""
    cloud = Cloud()
    async with EdgeCore(test_settings(tmp_path)) as core:
        registry = Registry(core.database)
        await managed(registry, "A1")
        await caught_up(core, cloud)
        await registry.update("A1", version="12.0")
        journal = Journal(core.database, core.facts)
        delta = await journal.next()
        assert delta is not None
        await journal.sending(delta)
        cloud.take(delta)
    async with EdgeCore(test_settings(tmp_path)) as core:
        await managed(Registry(core.database), "A2")
        await caught_up(core, cloud)
    assert cloud.devices == {"A1": "12.0", "A2": "11.0.1"}
    assert cloud.snapshots == 1


async def test_a_cloud_that_forgot_is_told_from_there(core: EdgeCore) -> None:
    registry, cloud = Registry(core.database), Cloud()
    await managed(registry, "A1", "A2")
    await caught_up(core, cloud)
    backup = (cloud.position, dict(cloud.devices))
    await registry.release("A1")
    await managed(registry, "A3")
    await caught_up(core, cloud)
    cloud.position, cloud.devices = backup
    await deliver(core, cloud, lambda: sorted(cloud.devices) == ["A2", "A3"])
    assert cloud.snapshots == 1


async def test_a_cloud_that_knows_nothing_gets_everything(core: EdgeCore) -> None:
    registry, cloud = Registry(core.database), Cloud()
    await managed(registry, "A1", "A2")
    await caught_up(core, cloud)
    fresh = Cloud()
    fresh.devices = {"OLD": "1.0"}
    await deliver(core, fresh, lambda: sorted(fresh.devices) == ["A1", "A2"])


async def test_an_edge_host_restored_from_a_backup_begins_anew(core: EdgeCore) -> None:
    registry, cloud = Registry(core.database), Cloud()
    await managed(registry, "A1")
    await caught_up(core, cloud)
    cloud.position += 500  # it was told more than this journal remembers
    cloud.devices["GONE"] = "1.0"
    await deliver(core, cloud, lambda: list(cloud.devices) == ["A1"])
    assert cloud.snapshots == 2


async def test_without_any_device_the_cloud_still_learns_that(core: EdgeCore) -> None:
    cloud = Cloud()
    cloud.devices = {"OLD": "1.0"}
    await caught_up(core, cloud)
    assert cloud.devices == {}
    assert await Journal(core.database, core.facts).next() is None


async def test_tasks_and_their_devices_are_told(core: EdgeCore) -> None:
    store, journal = TaskStore(core.database), Journal(core.database, core.facts)
    record = TaskRecord(id="t1", kind="os.upgrade", title="x", actor="local", created_at=datetime.now(UTC))
    rows = [WorkRow("t1", number, f"A{number}", {}) for number in range(3)]
    await store.create(record, rows, None)
    delta = await journal.next()
    assert delta is not None
    assert (len(delta.tasks), len(delta.work)) == (1, 3)
    await journal.sending(delta)
    await journal.accepted(delta.epoch, delta.last, complete=True)
    assert await store.take(rows[1:2]) == [True]
    await store.finish(rows[1], Outcome(WorkState.FAILED, "It broke.", "device_answer"))
    delta = await journal.next()
    assert delta is not None
    assert [(one.device, one.state, one.detail) for one in delta.work] == [("A1", "failed", "It broke.")]
    assert (delta.tasks[0].counts.failed, delta.tasks[0].counts.queued) == (1, 2)
    record.turn(TaskState.FAILED)
    await store.save(record)
    assert (await journal.next()).tasks[0].state is TaskState.FAILED  # type: ignore[union-attr]
    await journal.keep_to_ourselves()
    assert (await journal.next()).tasks == []  # type: ignore[union-attr]


async def test_a_task_of_five_thousand_devices_is_told_in_pieces(core: EdgeCore) -> None:
    store, journal = TaskStore(core.database), Journal(core.database, core.facts)
    record = TaskRecord(id="t1", kind="os.upgrade", title="x", actor="local", created_at=datetime.now(UTC))
    detail = "é" * 400
    rows = [
        WorkRow("t1", number, f"A{number}", {}, WorkState.SKIPPED, detail=detail) for number in range(500)
    ]
    await store.create(record, rows, None)
    told = 0
    while (delta := await journal.next()) is not None:
        assert len(dump(delta).encode()) < MAX_MESSAGE
        told += len(delta.work)
        await journal.sending(delta)
        await journal.accepted(delta.epoch, delta.last, complete=delta.complete)
    assert told == 500


# Tags


@pytest.fixture
async def tags(core: EdgeCore) -> Tags:
    registry = Registry(core.database)
    await managed(registry, "A1")
    return Tags(core.database, registry)


async def test_tags_are_told_with_their_device(core: EdgeCore, tags: Tags) -> None:
    assert await tags.change("A1", ["Lobby ", "north  wing"], []) == ["lobby", "north wing"]
    assert await tags.change(EDGE_HOST, ["backup"], []) == ["backup"]
    delta = await Journal(core.database, core.facts).next()
    assert delta is not None
    assert [(mark.tag, mark.on) for mark in delta.devices[0].tags] == [("lobby", True), ("north wing", True)]
    assert [mark.tag for mark in delta.tags or []] == ["backup"]
    assert await tags.change("A1", [], ["lobby"]) == ["north wing"]
    assert (await tags.of(EDGE_HOST), await tags.of("A1")) == (["backup"], ["north wing"])


async def test_of_two_changes_to_a_tag_the_later_counts(tags: Tags) -> None:
    await tags.change("A1", ["lobby"], [])
    now = datetime.now(UTC)

    async def told(on: bool, **earlier: float) -> list[str]:
        mark = TagMark(tag="lobby", on=on, at=now - timedelta(**earlier))
        await tags.take([ThingTags(serial="A1", marks=[mark])])
        return await tags.of("A1")

    assert await told(False, hours=1) == ["lobby"]
    assert await told(False, hours=-1) == []
    # Made here after what is known, though the cloud's clock is an hour ahead.
    assert await tags.change("A1", ["lobby"], []) == ["lobby"]
    assert await told(False, hours=-1) == ["lobby"]


@pytest.mark.parametrize("tag", ["", "  ", "a,b", "x" * 65, "line\x00break", "\u202eevil"])
async def test_what_is_no_tag_is_refused(tags: Tags, tag: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        await tags.change("A1", [tag], [])
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    with pytest.raises(FarsiteError, match="no device"):
        await tags.change("NONE", ["x"], [])
    with pytest.raises(FarsiteError, match="At most"):
        await tags.change("A1", [f"t{number}" for number in range(51)], [])
    assert await tags.of("A1") == []


def test_answers_of_other_times_change_nothing() -> None:
    cursor = Cursor.anew(10).sending(5)
    assert cursor.accepted("other", 5, complete=True) == cursor
    assert cursor.accepted(cursor.epoch, 6, complete=True) == cursor
    assert cursor.accepted(cursor.epoch, 5, complete=False).acked == 5
    assert cursor.wanted(cursor.epoch, 6, floor=0) is None
    assert cursor.wanted(cursor.epoch, 2, floor=3) is None
    assert cursor.wanted(None, 0, floor=0) is None
