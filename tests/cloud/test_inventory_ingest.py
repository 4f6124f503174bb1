"""What edge hosts tell the cloud: taken over the hub once and in order, counted as it changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from farsite_cloud.database import Scope
from farsite_cloud.inventory.models import InventoryCount, ManagedDevice, ThingTag
from farsite_cloud.organizations.service import lock
from farsite_signaling.wire.edge_tasks import TaskState, WorkCounts, WorkState
from farsite_signaling.wire.inventory import (
    DeviceFacts,
    ImageFacts,
    InventoryAccepted,
    InventoryDelta,
    InventoryWanted,
    TagMark,
    TagsSet,
    TaskFacts,
    WorkFacts,
)
from tests.cloud.test_grant_races import _until_it_waits

pytestmark = pytest.mark.both_databases


def facts(serial: str, **more) -> DeviceFacts:
    values = {"name": f"Camera {serial}", "model": "P3265-LV", "version": "11.11.1", "state": "reachable"}
    return DeviceFacts(serial=serial, address="192.0.2.7", **(values | more))


class Edge:
    """An edge host connected to the cloud, and its numbering."""

    def __init__(self, world, edge_id, peer) -> None:
        self.world, self.id, self.peer = world, edge_id, peer
        self.epoch, self.position = "e1", 0

    async def tell(self, *devices: DeviceFacts, gone=(), **more):
        """The first answer; the position moves when it was accepted."""
        delta = InventoryDelta(
            epoch=self.epoch,
            after=self.position,
            last=self.position + max(1, len(devices) + len(gone)),
            devices=list(devices),
            devices_gone=list(gone),
            **more,
        )
        return await self.send(delta)

    async def send(self, delta: InventoryDelta):
        await self.peer.send(delta)
        # Marks of the cloud may come in between.
        while isinstance(answer := await self.peer.receive(), TagsSet):
            pass
        if isinstance(answer, InventoryAccepted):
            self.position = answer.position
        return answer

    async def stored(self) -> dict[str, ManagedDevice]:
        async with self.world.services.database.reading() as session:
            scope = Scope(session, self.world.owner.org)
            rows = await scope.all(scope.select(ManagedDevice).where(ManagedDevice.edge_host_id == self.id))
        return {row.serial: row for row in rows}


@pytest.fixture
async def edge(world):
    return await connected(world)


async def connected(world, name="Site") -> Edge:
    edge_id, identity = await world.edge(name=name)
    return Edge(world, edge_id, await world.connect(identity))


async def counts(world) -> Counter:
    async with world.services.database.reading() as session:
        scope = Scope(session, world.owner.org)
        rows = await scope.all(scope.select(InventoryCount))
    return Counter({(row.place, row.model, row.version, row.state, row.tag): row.number for row in rows})


async def test_devices_arrive_change_and_go(edge):
    answer = await edge.tell(facts("A1"), facts("A2"))
    assert answer == InventoryAccepted(epoch="e1", position=2)
    before = (await edge.stored())["A1"].id
    await edge.tell(facts("A1", state="unreachable", name="Door\x00\u202e"), gone=["A2", "NEVER"])
    stored = await edge.stored()
    assert list(stored) == ["A1"]
    assert (stored["A1"].id, stored["A1"].state, stored["A1"].name) == (before, "unreachable", "Door��")


async def test_what_was_sent_twice_counts_once(edge):
    delta = InventoryDelta(epoch="e1", after=0, last=2, devices=[facts("A1"), facts("A2")])
    await edge.send(delta)
    assert await edge.send(delta) == InventoryWanted(epoch="e1", position=2)
    assert sum((await counts(edge.world)).values()) == 4  # two devices, in their place and in the whole


@pytest.mark.parametrize(("epoch", "after"), [("e1", 1), ("e1", 3), ("e2", 1), ("e1", 0)])
async def test_what_does_not_fit_is_asked_for_again(edge, epoch, after):
    await edge.tell(facts("A1"), facts("A2"))
    delta = InventoryDelta(epoch=epoch, after=after, last=after + 1, devices=[facts("B1")])
    assert await edge.send(delta) == InventoryWanted(epoch="e1", position=2)
    assert sorted(await edge.stored()) == ["A1", "A2"]


async def test_an_unknown_edge_host_is_asked_for_everything(edge):
    delta = InventoryDelta(epoch="e1", after=7, last=8, devices=[facts("A1")])
    assert await edge.send(delta) == InventoryWanted(epoch=None, position=0)


async def test_a_snapshot_replaces_what_it_does_not_name_once_it_is_whole(edge):
    await edge.tell(facts("A1"), facts("A2"), facts("A3"))
    kept = (await edge.stored())["A1"].id
    edge.epoch, edge.position = "e2", 0
    await edge.tell(facts("A1"), complete=False)
    assert sorted(await edge.stored()) == ["A1", "A2", "A3"]
    await edge.tell(facts("A4"))
    stored = await edge.stored()
    assert (sorted(stored), stored["A1"].id) == (["A1", "A4"], kept)
    assert set((await counts(edge.world)).values()) == {2}


async def test_counts_follow_every_change(world, edge):
    other = await connected(world, "Other")
    await edge.tell(facts("A1"), facts("A2"), facts("A3", version="12.1"))
    await other.tell(facts("B1"))
    await edge.tell(facts("A2", state="unreachable"), gone=["A3"])
    assert await counts(world) == {
        ("", "P3265-LV", "11.11.1", "reachable", ""): 2,
        ("", "P3265-LV", "11.11.1", "unreachable", ""): 1,
        (edge.id, "P3265-LV", "11.11.1", "reachable", ""): 1,
        (edge.id, "P3265-LV", "11.11.1", "unreachable", ""): 1,
        (other.id, "P3265-LV", "11.11.1", "reachable", ""): 1,
    }


async def test_tags_from_the_edge_host_are_taken_and_counted(world, edge):
    at = world.clock()
    mark = TagMark(tag="lobby", at=at)
    await edge.tell(facts("A1", tags=[mark]), facts("A2", tags=[mark]))
    found = await counts(world)
    assert (found["", "", "", "", "lobby"], found[edge.id, "", "", "", "lobby"]) == (2, 2)
    off = TagMark(tag="lobby", on=False, at=at + timedelta(seconds=1))
    await edge.tell(facts("A1", tags=[off]), facts("A2", tags=[TagMark(tag="lobby", on=False, at=at)]))
    assert (await counts(world))["", "", "", "", "lobby"] == 1
    await edge.tell(gone=["A2"])
    assert (await counts(world))["", "", "", "", "lobby"] == 0


async def _tags_of(world, query: str) -> dict[str, int]:
    counts = await world.owner.ok("GET", f"~/devices/counts?{query}")
    return {one["value"]: one["count"] for one in counts["tag"]}


async def test_tags_are_counted_with_the_model_and_version_a_device_has_now(world, edge):
    mark = TagMark(tag="lobby", at=world.clock())
    await edge.tell(facts("A1", tags=[mark]), facts("A2", tags=[mark]), facts("A3", version="12.1"))
    await world.owner.ok("PATCH", f"~/edge-hosts/{edge.id}/tags", {"add": ["lobby"]})
    assert await _tags_of(world, "model=P3265-LV") == {"lobby": 2}
    assert await _tags_of(world, "version=12.1") == {}
    third = (await edge.stored())["A3"].id
    await world.owner.ok("PATCH", f"~/devices/{third}/tags", {"add": ["lobby", "spare"]})
    assert await _tags_of(world, "version=12.1") == {"lobby": 1, "spare": 1}
    await edge.tell(facts("A1", model="M3085-V"), facts("A2", version="12.1"))
    assert await _tags_of(world, "model=M3085-V") == {"lobby": 1}
    assert await _tags_of(world, "model=P3265-LV,M3085-V&version=12.1") == {"lobby": 2, "spare": 1}
    assert await _tags_of(world, "version=11.11.1&update_available=false") == {"lobby": 1}
    await world.owner.ok("PATCH", f"~/devices/{third}/tags", {"remove": ["lobby"]})
    await edge.tell(gone=["A2"])
    assert await _tags_of(world, "version=12.1") == {"spare": 1}


@pytest.mark.parametrize("first", ["tags", "devices"])
async def test_what_an_older_release_writes_is_counted_too(world, edge, first):
    """It does not know that tags have a model, and writes devices and their tags in any order."""
    await edge.tell(facts("A1", tags=[TagMark(tag="lobby", at=world.clock())]))
    tables = {"devices": ManagedDevice.__table__, "tags": ThingTag.__table__}
    async with world.services.database.writing() as session:
        rows = {name: (await session.execute(table.select())).one() for name, table in tables.items()}
        for table in tables.values():
            await session.execute(table.delete())
        for name in sorted(tables, reverse=first == "tags"):
            row = dict(rows[name]._mapping)
            if name == "tags":
                del row["model"], row["version"]
            await session.execute(tables[name].insert().values(row))
    assert await _tags_of(world, "model=P3265-LV&version=11.11.1") == {"lobby": 1}
    async with world.services.database.writing() as session:
        await session.execute(tables["devices"].update().values(model="M3085-V"))
    assert await _tags_of(world, "version=11.11.1") == {"lobby": 1}


async def test_an_edge_host_that_is_being_removed_leaves_no_devices(world, edge, database_kind, caplog):
    """Told of at the very moment: nobody could remove them any more."""
    if database_kind == "sqlite":
        return  # one writer at a time
    remove = "UPDATE edge_hosts SET revoked_at = now() WHERE id = :edge"
    device = facts("B8A44F000001")
    async with world.services.database.writing() as session:
        await lock(session, world.owner.org)
        await edge.peer.send(InventoryDelta(epoch="e1", after=0, last=1, devices=[device]))
        await _until_it_waits(world)
        await session.execute(text(remove), {"edge": edge.id})
    # It is not answered: whoever was removed is cut off.
    async with asyncio.timeout(30):
        while f"inventory of {edge.peer.identity.urn} not taken" not in caplog.text:
            await asyncio.sleep(0.01)
    assert await edge.stored() == {}
    assert (await world.owner.ok("GET", "~/devices"))["devices"] == []


async def test_only_edge_hosts_have_an_inventory(world):
    client = await world.connect(await world.client())
    await client.send(InventoryDelta(epoch="e1", after=0, last=1))
    edge = await connected(world)
    assert isinstance(await edge.tell(facts("A1")), InventoryAccepted)
    async with world.services.database.reading() as session:
        scope = Scope(session, world.owner.org)
        assert await scope.count(scope.select(ManagedDevice)) == 1


async def test_tasks_and_their_devices_are_kept(world, edge):
    task = TaskFacts(
        id="t1", kind="os.upgrade", title="AXIS OS 12", state=TaskState.RUNNING, created_at=world.clock()
    )
    work = WorkFacts(task="t1", position=0, device="A1", state=WorkState.RUNNING)
    await edge.tell(tasks=[task], work=[work, work.model_copy(update={"task": "never-told"})])
    done = {"state": TaskState.SUCCEEDED, "finished_at": world.clock(), "counts": WorkCounts(succeeded=1)}
    await edge.tell(
        tasks=[task.model_copy(update=done)], work=[work.model_copy(update={"state": WorkState.SUCCEEDED})]
    )
    [listed] = (await world.owner.ok("GET", "~/edge-tasks"))["tasks"]
    assert (listed["state"], listed["counts"]["succeeded"], listed["edge_host"]) == ("succeeded", 1, "Site")
    shown = await world.owner.ok("GET", f"~/edge-tasks/{listed['id']}")
    assert [(one["device"], one["state"]) for one in shown["devices"]] == [("A1", "succeeded")]


async def test_images_are_known_by_model(world, edge):
    await edge.tell(facts("A1"))
    image = ImageFacts(file="a.bin", id="0" * 64, version="11.11.9", models=["AXIS P3265-LV", "P3267-LV"])
    await edge.tell(images=[image])
    [row] = (await world.owner.ok("GET", "~/inventory/os"))["rows"]
    assert [(one["version"], one["edge_hosts"]) for one in row["available"]] == [("11.11.9", 1)]
    assert (row["recommended"], row["state"]) == ("11.11.9", "update_available")
    await edge.tell(images_gone=["a.bin"])
    [row] = (await world.owner.ok("GET", "~/inventory/os"))["rows"]
    assert (row["available"], row["state"]) == ([], "unknown_model")


async def test_tags_of_the_cloud_reach_the_edge_host_until_it_has_them(world):
    edge_id, identity = await world.edge()
    edge = Edge(world, edge_id, await world.connect(identity))
    await edge.tell(facts("A1"))
    [device] = (await world.owner.ok("GET", "~/devices"))["devices"]
    await world.owner.ok("PATCH", f"~/devices/{device['id']}/tags", {"add": ["Lobby"]})
    pushed = await edge.peer.expect(TagsSet)
    [mark] = pushed.things[0].marks
    assert (pushed.things[0].serial, mark.tag, mark.on) == ("A1", "lobby", True)
    # It did not take them yet: they come again after its next word, until that word carries them.
    await edge.tell(facts("A1", state="unreachable"))
    assert (await edge.peer.expect(TagsSet)).things == pushed.things
    await edge.tell(facts("A1", tags=[mark]))
    await edge.tell(facts("A1"))
    assert await edge.tell(facts("A1")) == InventoryAccepted(epoch="e1", position=edge.position)
