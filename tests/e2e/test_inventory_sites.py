"""An edge host's devices in the cloud: what happens on the site is seen there, tags go both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from farsite_client.session import connect
from farsite_signaling.wire.inventory import InventoryAccepted, InventoryWanted
from farsite_signaling.wire.inventory_api import InventoryDevice, TagChange

from .conftest import EDGE_NAME, World
from .test_remote_session import manage_all


async def until(world: World, true: Callable[[list[InventoryDevice]], bool]) -> list[InventoryDevice]:
    """Looks again whenever the cloud answered the edge host."""
    inventory, answered = world.edge.host.inventory, asyncio.Event()
    before = inventory.answered

    def tell(answer: InventoryAccepted | InventoryWanted) -> None:
        before(answer)
        answered.set()

    _listen(world, tell)
    async with asyncio.timeout(20), world.profile.cloud() as cloud:
        while True:
            answered.clear()
            organization = world.profile.load().organization_id
            found = [device async for device in cloud.devices(organization)]
            if true(found):
                _listen(world, before)
                return found
            await answered.wait()


def _listen(world: World, take: Callable[[InventoryAccepted | InventoryWanted], None]) -> None:
    world.edge.host.remote.inbox.listen(InventoryAccepted, take)
    world.edge.host.remote.inbox.listen(InventoryWanted, take)


def all_of(found: list[InventoryDevice], true: Callable[[InventoryDevice], bool]) -> bool:
    return all(map(true, found))


async def test_what_happens_on_the_site_is_seen_in_the_cloud(world: World) -> None:
    serial = world.serials[0]
    async with connect(world.profile, EDGE_NAME) as session:
        await manage_all(world, session)
        found = await until(
            world,
            lambda found: (
                len(found) == len(world.serials)
                and all_of(found, lambda one: one.state == "reachable" and "log_in" in one.capabilities)
            ),
        )
        assert sorted(one.serial for one in found) == sorted(world.serials)
        assert all(one.edge_online and one.model and one.version for one in found)
        async with world.profile.cloud() as cloud:
            organization = world.profile.load().organization_id
            await cloud.tag_device(organization, serial, TagChange(add=["from the cloud"]))
        await until(world, lambda found: any("from the cloud" in one.tags for one in found))
        await world.edge.host.tags.change(serial, ["from the site"], [])
        [tagged] = [
            one
            for one in await until(world, lambda found: any("from the site" in one.tags for one in found))
            if one.serial == serial
        ]
        assert tagged.tags == ["from the cloud", "from the site"]
        assert await world.edge.host.tags.of(serial) == ["from the cloud", "from the site"]
        await session.edge.remove([serial])
        left = await until(world, lambda found: len(found) == len(world.serials) - 1)
        assert serial not in [one.serial for one in left]
