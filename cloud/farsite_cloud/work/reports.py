"""What edge hosts report about orders, kept once whatever arrives twice or late."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import Scope
from farsite_cloud.database.scope import owners_of
from farsite_cloud.ids import new_id
from farsite_cloud.work.dispatcher import move_order
from farsite_cloud.work.models import CampaignDevice, CampaignOrder, CampaignStep
from farsite_cloud.work.service import Campaigns
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.work import OrderPhase, WorkDevice, WorkReport
from farsite_signaling.wire.work_api import CampaignState, OrderState

_STATES = {
    OrderPhase.ACCEPTED: OrderState.ACCEPTED,
    OrderPhase.RUNNING: OrderState.RUNNING,
    OrderPhase.HELD: OrderState.HELD,
    OrderPhase.SUCCEEDED: OrderState.SUCCEEDED,
    OrderPhase.FAILED: OrderState.FAILED,
    OrderPhase.CANCELLED: OrderState.CANCELLED,
    OrderPhase.REFUSED: OrderState.FAILED,
}


async def keep_report(scope: Scope, edge_id: str, report: WorkReport, now: datetime) -> None:
    """An order that is not (any more) one of this edge host's is nothing to keep: accepted all the same, so that it is
    not sent again."""
    order = await _order(scope, edge_id, report.order)
    if order is None:
        return
    campaign = await Campaigns(scope).touch(order.campaign_id, now)
    await scope.session.refresh(order)
    if report.revision <= order.revision:
        return
    order.revision, order.heard_at = report.revision, now
    _apply(order, report, now)
    await _keep_devices(scope, order, report, now)
    _keep_steps(scope, order, report, now)
    if CampaignState(campaign.state).finished and not OrderState(order.state).finished:
        # It was given up, and had been taken after all.
        over = campaign.state == CampaignState.CANCELLED
        campaign.state = CampaignState.CANCELLING if over else CampaignState.RUNNING
        campaign.finished_at = None


async def _order(scope: Scope, edge_id: str, order_id: str) -> CampaignOrder | None:
    order = await scope.find(CampaignOrder, order_id)
    return order if order is not None and order.edge_host_id == edge_id else None


def _apply(order: CampaignOrder, report: WorkReport, now: datetime) -> None:
    order.obeyed = min(max(order.obeyed, report.serial), order.serial)
    order.counts = report.counts.model_dump()
    order.progress = 1.0 if report.phase.finished else report.progress
    order.task = report.task
    order.code = clean(report.code or "")[:64] or None
    move_order(order, _STATES[report.phase], now)
    order.detail = clean(report.detail)


async def _keep_devices(scope: Scope, order: CampaignOrder, report: WorkReport, now: datetime) -> None:
    named = [one.device for one in report.devices]
    statement = scope.select(CampaignDevice).where(
        CampaignDevice.order_id == order.id, CampaignDevice.device.in_(named)
    )
    known = {row.device: row for row in await scope.all(statement)}
    for one in report.devices:
        row = known.get(one.device)
        if row is None:
            row = known[one.device] = _device(order, one.device, now)
            scope.add(row)
        _update(row, one, now)


def _device(order: CampaignOrder, device: str, now: datetime) -> CampaignDevice:
    return CampaignDevice(
        id=new_id(now),
        campaign_id=order.campaign_id,
        order_id=order.id,
        edge_host_id=order.edge_host_id,
        device=device,
    )


def _update(row: CampaignDevice, reported: WorkDevice, now: datetime) -> None:
    row.state, row.step = reported.state, clean(reported.step)
    row.detail, row.code = clean(reported.detail), clean(reported.code or "")[:64] or None
    row.updated_at = now


def _keep_steps(scope: Scope, order: CampaignOrder, report: WorkReport, now: datetime) -> None:
    for step in report.steps:
        if step.seq <= order.steps_kept:
            continue
        order.steps_kept = step.seq
        scope.add(
            CampaignStep(
                id=new_id(now),
                order_id=order.id,
                seq=step.seq,
                device=step.device,
                at=step.at,
                step=clean(step.step),
                detail=clean(step.detail),
            )
        )


async def organizations_with_orders(session: AsyncSession, edges: Collection[str]) -> set[str]:
    """Those that have something unfinished for one of these edge hosts."""
    return set(await owners_of(session, CampaignOrder, *_unfinished(edges)))


async def edges_changed(scope: Scope, edges: Collection[str], now: datetime) -> int:
    """They came, went, or switched remote access: campaigns that have something for them are looked at now. How many."""
    statement = scope.select(CampaignOrder).where(*_unfinished(edges))
    campaigns = {order.campaign_id for order in await scope.all(statement)}
    for campaign_id in sorted(campaigns):
        await Campaigns(scope).touch(campaign_id, now)
    return len(campaigns)


def _unfinished(edges: Collection[str]) -> list[ColumnElement[bool]]:
    return [CampaignOrder.edge_host_id.in_(sorted(edges)), CampaignOrder.finished_at.is_(None)]
