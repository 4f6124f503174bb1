"""Brings campaigns forward for as long as the cloud runs: decides, writes it down, then tells edge hosts."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.clock import Clock
from farsite_cloud.database import Database, Scope
from farsite_cloud.database.scope import owners_of
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.service import find_organization, membership
from farsite_cloud.services import Peers
from farsite_cloud.vault import Vault
from farsite_cloud.work.facts import campaign_fact, order_fact
from farsite_cloud.work.kinds import KINDS
from farsite_cloud.work.models import Campaign, CampaignOrder
from farsite_cloud.work.rollout import Decision, OrderFact, decide
from farsite_cloud.work.service import Campaigns
from farsite_cloud.work.statement import rights_now, stated
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.rights import Role
from farsite_signaling.wire.work import WorkOrder
from farsite_signaling.wire.work_api import CampaignRollout, CampaignState, OrderState

logger = logging.getLogger(__name__)
LOOK_EVERY = 1.0
"""What another process changed is noticed this late, in seconds."""
LEASE = timedelta(seconds=20)
AGAIN = timedelta(seconds=30)
"""An order nobody confirmed is stated again."""
AT_ONCE = 20
Message = tuple[str, WorkOrder]


@dataclass
class Step:
    """One campaign being brought forward."""

    scope: Scope
    campaign: Campaign
    role: Role | None
    keys: OrganizationKeys
    orders: dict[str, CampaignOrder]
    edges: dict[str, EdgeHost]
    now: datetime
    messages: list[Message] = field(default_factory=list)


class Dispatcher:
    """`async with` starts it. Any number of processes may run one: a campaign is taken by moving its `due_at`."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        peers: Peers,
        *,
        wanted: asyncio.Event | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._peers = peers
        self._wanted = wanted or asyncio.Event()
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._task = group.create_task(self._run(), name="work dispatcher")
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._task is not None:
            self._task.cancel("dispatcher closed")
        await self._stack.aclose()

    async def wake(self) -> None:
        """Something was changed or reported."""
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            try:
                while await self._round():
                    pass
            except FarsiteError as error:
                logger.error("campaigns wait: %s", error)
            except Exception:
                logger.exception("campaigns wait")
            await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._wanted.wait()
        except TimeoutError:
            pass

    async def _round(self) -> bool:
        """False when nothing was due."""
        async with self._database.reading() as session:
            owners = await owners_of(session, Campaign, Campaign.due_at <= self._clock())
        moved = False
        for organization in owners:
            moved = await self._organization(organization) or moved
        return moved

    async def _organization(self, organization: str) -> bool:
        async with self._database.reading() as session:
            scope = Scope(session, organization)
            due = scope.select(Campaign).where(Campaign.due_at <= self._clock())
            ids = [row.id for row in await scope.all(due.order_by(Campaign.due_at).limit(AT_ONCE))]
        moved = False
        for campaign in ids:
            moved = await self._bring_forward(organization, campaign) or moved
        return moved

    async def _bring_forward(self, organization: str, campaign_id: str) -> bool:
        async with self._database.writing() as session:
            step = await self._take(session, organization, campaign_id)
            if step is None:
                return False
            await self._advance(step)
        for urn, message in step.messages:
            # Lost when the edge host leaves right now: it is stated again then.
            await self._peers.notify(urn, message)
        return True

    async def _take(self, session: AsyncSession, organization: str, campaign_id: str) -> Step | None:
        """None when another process has it, or nothing is to be done."""
        scope, now = Scope(session, organization), self._clock()
        mine = scope.update(Campaign).where(Campaign.id == campaign_id, Campaign.due_at <= now)
        if await scope.change(mine.values(due_at=now + LEASE)) != 1:
            return None
        campaign = await scope.get(Campaign, campaign_id, "campaign")
        found = await membership(session, organization, campaign.actor_id)
        keys = await self._keys(session, organization)
        orders = await Campaigns(scope).orders(campaign_id)
        edges = await EdgeHosts(scope).by_id([order.edge_host_id for order in orders])
        return Step(
            scope=scope,
            campaign=campaign,
            role=Role(found[1].role) if found else None,
            keys=keys,
            orders={order.id: order for order in orders},
            edges=edges,
            now=now,
        )

    async def _keys(self, session: AsyncSession, organization: str) -> OrganizationKeys:
        row = await find_organization(session, organization)
        assert row is not None
        return OrganizationKeys(row, self._vault)

    async def _advance(self, step: Step) -> None:
        kind = KINDS.get(step.campaign.kind)
        allowed = kind is not None and kind.right in rights_now(step.role, step.campaign.scopes)
        facts = [
            order_fact(order, step.edges.get(order.edge_host_id), self._peers)
            for order in step.orders.values()
        ]
        decision = decide(campaign_fact(step.campaign, allowed=allowed), facts, step.now)
        _write_orders(step, decision)
        _state_orders(step, decision, facts)
        _write_campaign(step, decision)


def _write_orders(step: Step, decision: Decision) -> None:
    for order_id, detail in decision.details.items():
        step.orders[order_id].detail = detail
    for order_id, state in decision.states.items():
        order = step.orders[order_id]
        move_order(order, state, step.now)


def move_order(order: CampaignOrder, state: OrderState, now: datetime) -> None:
    """The one place that sets an order's state."""
    if order.state != state:
        logger.info("order %s: %s -> %s", order.id, order.state, state)
    order.state = state
    order.finished_at = (order.finished_at or now) if state.finished else None


def _state_orders(step: Step, decision: Decision, facts: list[OrderFact]) -> None:
    budget = _budget(step.campaign, facts)
    for order_id, wanted in decision.send.items():
        order = step.orders[order_id]
        edge = step.edges[order.edge_host_id]
        if order.serial == 0 or order.wanted != wanted:
            order.serial += 1
            order.wanted = wanted
        order.due_at = step.now + AGAIN
        order.sent_at = order.sent_at or step.now
        message = stated(step.campaign, order, edge, step.role, budget, step.keys, step.now)
        step.messages.append((str(edge_name(edge)), message))


def _budget(campaign: Campaign, facts: list[OrderFact]) -> int | None:
    limit = CampaignRollout.model_validate(campaign.rollout).max_failures
    if limit is None:
        return None
    return limit - (sum(fact.failures for fact in facts) - campaign.forgiven)


def _write_campaign(step: Step, decision: Decision) -> None:
    campaign = step.campaign
    if campaign.state != decision.state:
        logger.info("campaign %s: %s -> %s", campaign.id, campaign.state, decision.state)
        campaign.detail = decision.detail[:500]
    elif decision.state is CampaignState.RUNNING:
        campaign.detail = decision.detail[:500]
    campaign.state, campaign.stage = decision.state, decision.stage
    campaign.due_at = None if decision.state.finished else decision.wake_at
    if decision.state.finished and campaign.finished_at is None:
        campaign.finished_at = step.now
