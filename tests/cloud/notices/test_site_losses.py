"""Devices of a site that go together, as their edge host tells it: one notice, and one of their return."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from farsite_cloud.database import Scope
from farsite_cloud.notices.models import NoticeEvent
from farsite_signaling.wire.inventory import DeviceFacts, InventoryAccepted, InventoryDelta
from farsite_signaling.wire.rights import Role

LOST, BACK = "devices.unreachable", "devices.reachable"
CAMERAS = [f"ACCC8E{number:06X}" for number in range(60)]


class Site:
    """An edge host with cameras, which tells of their states."""

    def __init__(self, world: Any, edge_id: str, peer: Any) -> None:
        self.world, self.id, self.peer, self.position = world, edge_id, peer, 0
        self.folder = ""

    async def tell(self, state: str, *serials: str, gone: tuple[str, ...] = ()) -> None:
        devices = [DeviceFacts(serial=serial, name=serial, state=state) for serial in serials]
        last = self.position + len(devices) + len(gone)
        delta = InventoryDelta(
            epoch="e1", after=self.position, last=last, devices=devices, devices_gone=list(gone)
        )
        await self.peer.send(delta)
        assert isinstance(await self.peer.receive(), InventoryAccepted)
        self.position = last

    async def notices(self, kind: str, count: int = 1, person: Any = None) -> list[dict[str, Any]]:
        """Once there are so many."""
        async with asyncio.timeout(45):
            while True:
                await self.world.services.sweeper.wake()
                path = f"~/notices?kind={kind}"
                shown = (await (person or self.world.owner).ok("GET", path))["notices"]
                if len(shown) >= count:
                    return shown
                await asyncio.sleep(0.01)

    async def events(self) -> list[tuple[str, bool, bool]]:
        """Kind, whether it lasts, whether it waits to be told."""
        async with self.world.services.database.reading() as session:
            scope = Scope(session, self.world.owner.org)
            rows = await scope.all(scope.select(NoticeEvent).order_by(NoticeEvent.id))
        kinds = [row for row in rows if row.kind in (LOST, BACK)]
        return [(row.kind, row.lasting, row.due_at is not None) for row in kinds]


@pytest.fixture
async def site(world) -> Site:
    return await site_of(world)


async def site_of(world: Any) -> Site:
    folder = await world.folder("Europe")
    edge_id, identity = await world.edge(name="Warehouse", folder=folder)
    site = Site(world, edge_id, await world.connect(identity))
    site.folder = folder
    await site.tell("reachable", *CAMERAS)
    return site


@pytest.mark.both_databases
async def test_a_switch_that_dies_is_one_notice_and_its_return_another(site, world):
    await site.tell("unreachable", *CAMERAS[:15])
    world.clock.advance(seconds=60)
    await site.tell("unreachable", *CAMERAS[15:24])
    assert await site.events() == [(LOST, True, True)]
    world.clock.advance(minutes=3)
    [notice] = await site.notices(LOST)
    assert notice["count"] == 1
    assert notice["title"].startswith("24 of 60 devices of 'Warehouse' became unreachable at ")
    [item] = notice["items"]
    assert item["edge_host_id"] == site.id
    assert (item["details"]["unreachable"], item["details"]["serials"]) == (24, CAMERAS[:20])
    await site.tell("reachable", *CAMERAS[:20])
    assert await site.events() == [(LOST, True, False)]
    await site.tell("reachable", *CAMERAS[20:23])
    world.clock.advance(minutes=1)
    [back] = await site.notices(BACK)
    assert "The outage of 24 devices of 'Warehouse' since " in back["title"]
    assert back["title"].endswith("is over. 1 of them is still unreachable.")
    assert await site.events() == [(LOST, False, False), (BACK, False, False)]


async def test_devices_that_are_back_before_anybody_is_told_are_not_told_of(site, world):
    await site.tell("unreachable", *CAMERAS[:30])
    world.clock.advance(minutes=2)
    await site.tell("reachable", *CAMERAS[:30])
    assert await site.events() == [(LOST, False, False)]
    world.clock.advance(minutes=30)
    await site.tell("unreachable", *CAMERAS[:30])
    world.clock.advance(minutes=3)
    assert len(await site.notices(LOST)) == 1


async def test_single_devices_that_fail_are_no_outage(site, world):
    for number in range(20):
        await site.tell("unreachable", CAMERAS[number])
        world.clock.advance(minutes=5)
    assert await site.events() == []


async def test_the_same_outage_is_told_once_and_another_one_again(site, world):
    await site.tell("unreachable", *CAMERAS[:12])
    world.clock.advance(minutes=3)
    await site.notices(LOST)
    world.clock.advance(minutes=1)
    await site.tell("unreachable", *CAMERAS[12:15])
    assert await site.events() == [(LOST, True, False)]
    await site.tell("unreachable", *CAMERAS[15:30])
    assert await site.events() == [(LOST, True, False), (LOST, True, True)]
    world.clock.advance(minutes=5)
    newest = (await site.notices(LOST, 2))[0]
    assert newest["title"].startswith("18 of 60 devices")


async def test_how_many_are_many_is_the_organizations_choice(site, world):
    await world.owner.ok("PUT", "~/notice-settings", {"unreachable_devices": 3})
    settings = await world.owner.ok("GET", "~/notice-settings")
    assert settings == {"offline_after_minutes": 5, "unreachable_devices": 3}
    await site.tell("unreachable", *CAMERAS[:3])
    assert await site.events() == [(LOST, True, True)]
    refused = await world.owner("PUT", "~/notice-settings", {"unreachable_devices": 2})
    assert (refused.status, refused.code) == (400, "invalid_request")


async def test_devices_that_were_never_seen_or_are_removed_are_not_lost(site, world):
    fresh = [f"B8A44F{number:06X}" for number in range(20)]
    await site.tell("unreachable", *fresh)
    assert await site.events() == []
    await site.tell("unreachable", *CAMERAS[:20])
    world.clock.advance(minutes=3)
    await site.notices(LOST)
    await site.tell("reachable", CAMERAS[59], gone=tuple(CAMERAS[:20]))
    world.clock.advance(minutes=1)
    [back] = await site.notices(BACK)
    assert back["title"].endswith("is over.")


async def test_it_is_told_to_those_who_reach_the_site(site, world):
    near = await world.member(Role.VIEWER, folders=[site.folder])
    far = await world.member(Role.VIEWER, email="far@example.com", folders=[await world.folder("Asia")])
    await site.tell("unreachable", *CAMERAS)
    world.clock.advance(minutes=3)
    [notice] = await site.notices(LOST, person=near)
    assert notice["title"].startswith("All 60 devices of 'Warehouse'")
    assert (await far.ok("GET", "~/notices"))["notices"] == []


async def test_it_is_mailed_and_goes_to_webhooks(world_in):
    world = await world_in(None, outbound_allowed=["127.0.0.1/32"])
    hook = await world.owner.ok("POST", "~/webhooks", {"name": "Chat", "url": "http://127.0.0.1:9/hook"})
    site = await site_of(world)
    await site.tell("unreachable", *CAMERAS[:20])
    world.clock.advance(minutes=3)
    [notice] = await site.notices(LOST)
    async with asyncio.timeout(45):
        while not (mails := await world.mails()):
            await asyncio.sleep(0.01)
    assert mails[-1].content.subject == notice["title"]
    [sent] = (await world.owner.ok("GET", f"~/webhooks/{hook['id']}/deliveries"))["deliveries"]
    data = sent["payload"]["data"]
    assert (sent["payload"]["type"], data["items"][0]["details"]["unreachable"]) == (LOST, 20)
