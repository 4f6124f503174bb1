"""An upgrade that failed on a site is told of once, to those who see the site."""

from __future__ import annotations

import asyncio

import pytest

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.work.models import Campaign, CampaignOrder
from farsite_signaling.wire.edge_tasks import TaskState, WorkCounts
from farsite_signaling.wire.inventory import TaskFacts
from farsite_signaling.wire.rights import Role
from tests.cloud.notices.test_notices import told
from tests.cloud.test_inventory_ingest import Edge

pytestmark = pytest.mark.both_databases


@pytest.fixture
async def edge(world):
    edge_id, identity = await world.edge(name="Harbour", folder=await world.folder("Europe"))
    return Edge(world, edge_id, await world.connect(identity))


def upgrade(world, name: str, state=TaskState.FAILED, **more) -> TaskFacts:
    values = {"kind": "os.upgrade", "title": "AXIS OS 12.4", "counts": WorkCounts(failed=2, succeeded=8)}
    now = world.clock()
    finished = now if state.finished else None
    return TaskFacts(id=name, state=state, created_at=now, finished_at=finished, **(values | more))


async def test_a_failed_upgrade_is_told_once(world, edge):
    await edge.tell(tasks=[upgrade(world, "t1", TaskState.RUNNING)])
    await edge.tell(tasks=[upgrade(world, "t1", detail="Too many failures.")])
    await edge.tell(tasks=[upgrade(world, "t1", detail="Too many failures.")])
    world.clock.advance(minutes=2)
    [notice] = await told(world)
    assert (notice["kind"], notice["count"]) == ("upgrade.failed", 1)
    assert "'AXIS OS 12.4' on 'Harbour' failed: 2 of 10 devices. Too many" in notice["title"]
    assert notice["items"][0]["edge_host_id"] == edge.id
    async with asyncio.timeout(10):
        while not [mail for mail in await world.mails() if "AXIS OS 12.4" in mail.content.text]:
            await world.services.sweeper.wake()


async def test_what_is_no_news_is_not_told(world, edge):
    past = upgrade(world, "old")
    world.clock.advance(days=2)
    fine = {"counts": WorkCounts(succeeded=1)}
    await edge.tell(
        tasks=[
            past,
            upgrade(world, "well", TaskState.SUCCEEDED, **fine),
            upgrade(world, "cancelled", TaskState.CANCELLED, **fine),
            upgrade(world, "look", kind="device.log_in"),
            upgrade(world, "back", kind="os.rollback", title="Back to 11.11"),
        ]
    )
    world.clock.advance(minutes=2)
    [notice] = await told(world)
    assert "The rollback 'Back to 11.11'" in notice["title"] and notice["count"] == 1


async def test_those_of_campaigns_are_the_campaigns_news(world, edge):
    async with world.services.database.writing() as session:
        scope, now = Scope(session, world.owner.org), world.clock()
        body = {"kind": "os.upgrade", "title": "All", "parameters": {}, "selection": {}, "rollout": {}}
        campaign = Campaign(
            id=new_id(now),
            created_by="owner@example.com",
            actor_id=world.owner.account_id,
            actor="owner@example.com",
            created_at=now,
            expires_at=now,
            state="running",
            **body,
        )
        scope.add(campaign)
        await session.flush()
        order = {"position": 0, "state": "running", "wanted": "run", "counts": {}, "task": "t1"}
        scope.add(CampaignOrder(id=new_id(now), campaign_id=campaign.id, edge_host_id=edge.id, **order))
    await edge.tell(tasks=[upgrade(world, "t1"), upgrade(world, "t2", title="By hand")])
    world.clock.advance(minutes=2)
    [notice] = await told(world)
    assert "'By hand'" in notice["title"] and notice["count"] == 1


async def test_whoever_does_not_see_the_site_is_not_told(world, edge):
    stranger = await world.member(Role.OPERATOR, folders=[await world.folder("Asia")])
    await edge.tell(tasks=[upgrade(world, "t1")])
    world.clock.advance(minutes=2)
    await told(world)
    assert await told(world, stranger, count=0) == []
