"""What the rollout decides on, from rows."""

from __future__ import annotations

from datetime import timedelta

from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import edge_name
from farsite_cloud.services import Peers
from farsite_cloud.work.models import Campaign, CampaignOrder
from farsite_cloud.work.rollout import CampaignFact, OrderFact
from farsite_cloud.work.service import failures_of
from farsite_signaling.wire.work import Wanted
from farsite_signaling.wire.work_api import CampaignRollout, CampaignState, OrderState


def campaign_fact(campaign: Campaign, *, allowed: bool) -> CampaignFact:
    rollout = CampaignRollout.model_validate(campaign.rollout)
    return CampaignFact(
        state=CampaignState(campaign.state),
        expires_at=campaign.expires_at,
        starts_at=campaign.starts_at,
        stages=tuple(rollout.stages),
        parallel=rollout.parallel,
        soak=timedelta(minutes=rollout.soak_minutes),
        max_failures=rollout.max_failures,
        max_share=rollout.max_failure_share,
        forgiven=campaign.forgiven,
        allowed=allowed,
    )


def order_fact(order: CampaignOrder, edge: EdgeHost | None, peers: Peers) -> OrderFact:
    removed = edge is None or edge.revoked_at is not None
    return OrderFact(
        id=order.id,
        state=OrderState(order.state),
        reachable=not removed and edge is not None and reachable(edge, peers),
        removed=removed,
        serial=order.serial,
        placed=order.obeyed > 0,
        obeyed=order.obeyed >= order.serial > 0,
        wanted=Wanted(order.wanted),
        due_at=order.due_at,
        heard_at=order.heard_at,
        finished_at=order.finished_at,
        failures=failures_of(order),
        devices=sum(order.counts.values()),
    )


def reachable(edge: EdgeHost, peers: Peers) -> bool:
    """An edge host whose site switched remote access off takes no orders."""
    return edge.remote_access is not False and peers.online(str(edge_name(edge)))
