"""Campaigns as they are answered."""

from __future__ import annotations

from collections.abc import Sequence

from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.work.models import Campaign, CampaignDevice, CampaignOrder, CampaignStep
from farsite_signaling.wire import work_api as wire
from farsite_signaling.wire.edge_tasks import WorkCounts, WorkState
from farsite_signaling.wire.work import Selection


def campaign_answer(campaign: Campaign, orders: Sequence[CampaignOrder]) -> wire.Campaign:
    return wire.Campaign(
        id=campaign.id,
        kind=campaign.kind,
        title=campaign.title,
        state=wire.CampaignState(campaign.state),
        detail=campaign.detail,
        created_by=campaign.created_by,
        created_at=campaign.created_at,
        starts_at=campaign.starts_at,
        expires_at=campaign.expires_at,
        finished_at=campaign.finished_at,
        retry_of=campaign.retry_of,
        parameters=campaign.parameters,
        selection=Selection.model_validate(campaign.selection),
        rollout=wire.CampaignRollout.model_validate(campaign.rollout),
        stage=campaign.stage,
        orders=_order_counts(orders),
        devices=_device_counts(orders),
        progress=_progress(orders),
    )


def _order_counts(orders: Sequence[CampaignOrder]) -> wire.OrderCounts:
    counts = dict.fromkeys(wire.OrderCounts.model_fields, 0)
    for order in orders:
        counts[order.state] += 1
    return wire.OrderCounts(**counts)


def _device_counts(orders: Sequence[CampaignOrder]) -> WorkCounts:
    counts = dict.fromkeys(WorkCounts.model_fields, 0)
    for order in orders:
        for name, number in order.counts.items():
            if name in counts:
                counts[name] += number
    return WorkCounts(**counts)


def _progress(orders: Sequence[CampaignOrder]) -> float:
    shares = sum(1.0 if order.finished_at is not None else order.progress for order in orders)
    return round(shares / len(orders), 4) if orders else 1.0


def order_answer(order: CampaignOrder, edge: EdgeHost | None, stage: int) -> wire.CampaignOrder:
    return wire.CampaignOrder(
        id=order.id,
        edge_host_id=order.edge_host_id,
        edge_name=edge.name if edge is not None else "",
        state=wire.OrderState(order.state),
        stage=stage,
        detail=order.detail,
        code=order.code,
        task=order.task,
        sent_at=order.sent_at,
        heard_at=order.heard_at,
        finished_at=order.finished_at,
        counts=WorkCounts.model_validate(order.counts),
        progress=order.progress,
    )


def stage_of(position: int, total: int, stages: Sequence[int]) -> int:
    """Counted from 0."""
    return next(
        (number for number, share in enumerate(stages) if position < -(-total * share // 100)),
        len(stages) - 1,
    )


def device_answer(row: CampaignDevice) -> wire.CampaignDevice:
    return wire.CampaignDevice(
        id=row.id,
        device=row.device,
        edge_host_id=row.edge_host_id,
        order=row.order_id,
        state=WorkState(row.state),
        step=row.step,
        detail=row.detail,
        code=row.code,
        updated_at=row.updated_at,
    )


def step_answer(row: CampaignStep) -> wire.CampaignStep:
    return wire.CampaignStep(at=row.at, device=row.device, step=row.step, detail=row.detail)
