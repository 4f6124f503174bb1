"""Brings campaigns forward: decides, writes it down, then tells edge hosts."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farsite_cloud.accounts.service import is_enabled
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import due_rows
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.notices.events import emit
from farsite_cloud.organizations.entrance import Entrance, entrance_of
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.service import find_organization
from farsite_cloud.services import Peers, Services
from farsite_cloud.work.facts import campaign_fact, order_fact
from farsite_cloud.work.kinds import KINDS
from farsite_cloud.work.models import Campaign, CampaignOrder
from farsite_cloud.work.rollout import Decision, OrderFact, decide
from farsite_cloud.work.service import Campaigns
from farsite_cloud.work.statement import rights_now, stated
from farsite_signaling.wire.notices_api import NoticeKind
from farsite_signaling.wire.work import WorkOrder
from farsite_signaling.wire.work_api import CampaignRollout, CampaignState, OrderState

logger = logging.getLogger(__name__)
LEASE = timedelta(seconds=20)
AGAIN = timedelta(seconds=30)
"""An order nobody confirmed is stated again."""
Message = tuple[str, WorkOrder]
_TOLD = {
    CampaignState.STOPPED: NoticeKind.CAMPAIGN_STOPPED,
    CampaignState.FAILED: NoticeKind.CAMPAIGN_FAILED,
    CampaignState.SUCCEEDED: NoticeKind.CAMPAIGN_SUCCEEDED,
}


@dataclass
class Step:
    """One campaign being brought forward."""

    scope: Scope
    campaign: Campaign
    entrance: Entrance | None
    reached: set[str] | None
    keys: OrganizationKeys
    orders: dict[str, CampaignOrder]
    edges: dict[str, EdgeHost]
    now: datetime
    messages: list[Message] = field(default_factory=list)


async def bring_one_forward(services: Services) -> bool:
    """A campaign that is due. False when there was none. Any number of processes may: it is taken by moving `due_at`."""
    async with services.database.reading() as session:
        due = await due_rows(session, Campaign, Campaign.due_at <= services.clock())
    if not due:
        return False
    organization, campaign_id = due[0]
    before = ""
    async with services.database.writing() as session:
        step = await _take(services, Scope(session, organization), campaign_id)
        if step is not None:
            before = step.campaign.state
            _advance(step, services.peers)
            await _tell(step, before)
    for urn, message in step.messages if step is not None else []:
        # Lost when the edge host leaves right now: it is stated again then.
        await services.peers.notify(urn, message)
    return True


async def _take(services: Services, scope: Scope, campaign_id: str) -> Step | None:
    """None when another process has it."""
    now, session = services.clock(), scope.session
    mine = scope.update(Campaign).where(Campaign.id == campaign_id, Campaign.due_at <= now)
    if await scope.change(mine.values(due_at=now + LEASE)) != 1:
        return None
    campaign = await scope.get(Campaign, campaign_id, "campaign")
    organization = await find_organization(session, scope.organization_id)
    assert organization is not None
    if organization.suspended_at is not None:
        # Looked at again with the next lease: what was under way goes on when the organization does.
        return None
    entrance = await _entrance(scope, campaign, now)
    orders = await Campaigns(scope).orders(campaign_id)
    return Step(
        scope=scope,
        campaign=campaign,
        entrance=entrance,
        reached=await _reached(scope, entrance),
        keys=OrganizationKeys(organization, services.vault),
        orders={order.id: order for order in orders},
        edges=await EdgeHosts(scope).by_id([order.edge_host_id for order in orders]),
        now=now,
    )


async def _entrance(scope: Scope, campaign: Campaign, now: datetime) -> Entrance | None:
    """Of whoever wants it, as they are let in now."""
    if not await is_enabled(scope.session, campaign.actor_id):
        return None
    return await entrance_of(scope.session, scope.organization_id, campaign.actor_id, campaign.actor, now)


async def _reached(scope: Scope, entrance: Entrance | None) -> set[str] | None:
    """Ids of the edge hosts somebody reaches; None: all."""
    if entrance is None or entrance.reach.everywhere:
        return None
    return await EdgeHosts(Scope(scope.session, scope.organization_id, entrance.reach)).ids()


def _is_allowed(step: Step) -> bool:
    """Whether whoever wants it may still do it, everywhere."""
    kind = KINDS.get(step.campaign.kind)
    if kind is None or kind.right not in rights_now(step.entrance, step.campaign.scopes):
        return False
    return step.reached is None or all(one.edge_host_id in step.reached for one in step.orders.values())


def _advance(step: Step, peers: Peers) -> None:
    facts = [order_fact(order, step.edges.get(order.edge_host_id), peers) for order in step.orders.values()]
    decision = decide(campaign_fact(step.campaign, allowed=_is_allowed(step)), facts, step.now)
    _write_orders(step, decision)
    _state_orders(step, decision, facts)
    _write_campaign(step, decision)


async def _tell(step: Step, before: str) -> None:
    """Members, of a campaign that came to its end or was stopped."""
    campaign = step.campaign
    kind = _TOLD.get(CampaignState(campaign.state))
    if kind is None or campaign.state == before:
        return
    text = f"The campaign {campaign.title!r} {campaign.state}. {campaign.detail}".replace(
        " stopped.", " was stopped."
    )
    key = f"campaign {campaign.id} {campaign.state} {step.now.isoformat()}"
    details = {"campaign": campaign.id, "kind": campaign.kind}
    await emit(step.scope, kind, text.strip(), key=key, now=step.now, details=details)


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
        message = stated(step.campaign, order, edge, step.entrance, budget, step.keys, step.now)
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
