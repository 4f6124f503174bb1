"""An edge host that was cut off comes back as the same one, with the devices and settings it had."""

from __future__ import annotations

from farsite_client.edge_hosts import find_edge
from farsite_client.session import connect
from farsite_signaling.wire.edge_api import ClaimRequest

from .conftest import EDGE_NAME, World
from .test_remote_session import manage_all


async def test_cut_off_and_back_with_its_devices(world: World) -> None:
    organization = world.profile.load().organization_id
    async with connect(world.profile, EDGE_NAME) as session:
        await manage_all(world, session)
    async with world.profile.cloud() as cloud:
        before = await find_edge(cloud, organization, EDGE_NAME)
        await cloud.revoke_edge_certificate(organization, before.id, risk_confirmed=True)
        await world.edge.wait_for("cloud_offline")
        code = await cloud.setup_code_again(organization, before.id)
        world.edge.events.clear()
        request = {"code": code.code, "cloud_url": cloud.url, "again": True}
        await world.edge.host.claim(ClaimRequest.model_validate(request))
        await world.edge.wait_for("cloud_online")
        after = await find_edge(cloud, organization, EDGE_NAME)
    assert (after.id, after.folder_id, after.claimed_at) == (before.id, before.folder_id, before.claimed_at)
    async with connect(world.profile, EDGE_NAME) as session:
        devices = await session.edge.devices(managed=True)
    assert sorted(device.id for device in devices) == world.serials
