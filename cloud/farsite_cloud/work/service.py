"""An organization's campaigns: made, read, changed by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.ids import new_id
from farsite_cloud.work.models import Campaign, CampaignDevice, CampaignOrder, CampaignStep
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.work import Selection, Wanted
from farsite_signaling.wire.work_api import (
    CampaignRequest,
    CampaignResume,
    CampaignRollout,
    CampaignState,
    OrderState,
)

MOST_OPEN = 100
FURTHEST = timedelta(days=366)
"""A campaign is planned so far ahead at most."""
FINISHED = [state.value for state in CampaignState if state.finished]
_UNDONE = [WorkState.FAILED, WorkState.CANCELLED, WorkState.SKIPPED, WorkState.QUEUED, WorkState.RUNNING]


@dataclass(frozen=True)
class Author:
    """Who makes a campaign; `scopes` are those of the access token it is made with."""

    account_id: str
    email: str
    scopes: list[str] | None


class Campaigns:
    """Whoever reaches only some edge hosts sees their orders, and campaigns that have such."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, campaign_id: str) -> Campaign:
        """Raises `not_found`."""
        campaign = await self._scope.get(Campaign, campaign_id, "campaign")
        if not self._scope.reach.everywhere and not await self.orders(campaign.id, None, 1):
            raise FarsiteError(
                ErrorCode.NOT_FOUND, f"There is no campaign {campaign_id[:64]!r} in this organization."
            )
        return campaign

    async def page(
        self, before: str | None, limit: int, state: str | None, kind: str | None
    ) -> list[Campaign]:
        """Newest first; one more than `limit`, if there are."""
        statement = self._scope.select(Campaign)
        if before is not None:
            statement = statement.where(Campaign.id < before)
        if state is not None:
            over = Campaign.state.in_(FINISHED)
            statement = statement.where(over if state == "finished" else ~over)
        if kind is not None:
            statement = statement.where(Campaign.kind == kind)
        if not self._scope.reach.everywhere:
            reached = self._scope.select(CampaignOrder).where(
                CampaignOrder.edge_host_id.in_(await EdgeHosts(self._scope).ids())
            )
            statement = statement.where(Campaign.id.in_(reached.with_only_columns(CampaignOrder.campaign_id)))
        return await self._scope.all(statement.order_by(Campaign.id.desc()).limit(limit + 1))

    async def orders(
        self, campaign_id: str, after: str | None = None, limit: int | None = None, state: str | None = None
    ) -> list[CampaignOrder]:
        """In the order of the rollout."""
        statement = self._scope.select(CampaignOrder).where(CampaignOrder.campaign_id == campaign_id)
        if not self._scope.reach.everywhere:
            statement = statement.where(CampaignOrder.edge_host_id.in_(await EdgeHosts(self._scope).ids()))
        if after is not None:
            statement = statement.where(CampaignOrder.id > after)
        if state is not None:
            statement = statement.where(CampaignOrder.state == state)
        # Ids are made in the order of the positions.
        statement = statement.order_by(CampaignOrder.id)
        return await self._scope.all(statement if limit is None else statement.limit(limit))

    async def size(self, campaign_id: str) -> int:
        """How many orders it has."""
        statement = self._scope.select(CampaignOrder).where(CampaignOrder.campaign_id == campaign_id)
        return await self._scope.count(statement)

    async def devices(
        self, campaign_id: str, after: str | None, limit: int, state: str | None, edge: str | None
    ) -> list[CampaignDevice]:
        statement = self._scope.select(CampaignDevice).where(CampaignDevice.campaign_id == campaign_id)
        if not self._scope.reach.everywhere:
            statement = statement.where(CampaignDevice.edge_host_id.in_(await EdgeHosts(self._scope).ids()))
        if after is not None:
            statement = statement.where(CampaignDevice.id > after)
        if state is not None:
            statement = statement.where(CampaignDevice.state == state)
        if edge is not None:
            statement = statement.where(CampaignDevice.edge_host_id == edge)
        return await self._scope.all(statement.order_by(CampaignDevice.id).limit(limit + 1))

    async def order(self, campaign_id: str, order_id: str) -> CampaignOrder:
        """Raises `not_found`."""
        order = await self._scope.get(CampaignOrder, order_id, "order")
        reached = self._scope.reach.everywhere or order.edge_host_id in await EdgeHosts(self._scope).ids()
        if order.campaign_id != campaign_id or not reached:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no order {order_id[:64]!r} in this campaign.")
        return order

    async def steps(
        self, order_id: str, after: str | None, limit: int, device: str | None
    ) -> list[CampaignStep]:
        statement = self._scope.select(CampaignStep).where(CampaignStep.order_id == order_id)
        if after is not None:
            statement = statement.where(CampaignStep.id > after)
        if device is not None:
            statement = statement.where(CampaignStep.device == device)
        return await self._scope.all(statement.order_by(CampaignStep.id).limit(limit + 1))

    # made

    async def create(
        self, request: CampaignRequest, parameters: dict[str, Any], title: str, author: Author, now: datetime
    ) -> Campaign:
        """Raises `not_found` for what does not exist, `conflict` when nothing is meant or too much is open."""
        chosen = await self._chosen(request)
        targets: list[tuple[str, list[str] | None]] = [(edge.id, None) for edge in chosen]
        return await self._add(request, parameters, title, author, targets, now)

    async def _chosen(self, request: CampaignRequest) -> Sequence[EdgeHost]:
        edges = EdgeHosts(self._scope)
        if request.edge_hosts or request.folders:
            named = [await edges.get(one) for one in dict.fromkeys(request.edge_hosts)]
            inside = await edges.below(request.folders) if request.folders else []
            return named + [edge for edge in inside if edge.id not in request.edge_hosts]
        return await edges.everywhere()

    async def retry(
        self,
        campaign: Campaign,
        rollout: CampaignRollout | None,
        hours: int,
        author: Author,
        now: datetime,
    ) -> Campaign:
        """A new campaign for the devices that did not succeed and for edge hosts that did not begin.

        Raises `conflict` when it is not over, or all went well.
        """
        if not CampaignState(campaign.state).finished:
            raise FarsiteError(
                ErrorCode.CONFLICT, "The campaign is not finished yet. Cancel it first, or wait."
            )
        targets = await self._undone(campaign)
        if not targets:
            raise FarsiteError(ErrorCode.CONFLICT, "There is nothing to try again: all went well.")
        request = CampaignRequest(
            kind=campaign.kind,
            selection=Selection.model_validate(campaign.selection),
            rollout=rollout or CampaignRollout.model_validate(campaign.rollout),
            expires_in_hours=hours,
        )
        again = await self._add(request, campaign.parameters, campaign.title, author, targets, now)
        again.retry_of = campaign.id
        return again

    async def _undone(self, campaign: Campaign) -> list[tuple[str, list[str] | None]]:
        there = {edge.id for edge in await EdgeHosts(self._scope).everywhere()}
        found: list[tuple[str, list[str] | None]] = []
        for order in await self.orders(campaign.id):
            if order.state == OrderState.SUCCEEDED or order.edge_host_id not in there:
                continue
            statement = self._scope.select(CampaignDevice).where(CampaignDevice.order_id == order.id)
            rows = await self._scope.all(statement)
            undone = [row.device for row in rows if row.state in _UNDONE and not _nothing_to_do(row)]
            if undone or not rows:
                found.append((order.edge_host_id, undone or order.devices))
        return found

    async def _add(
        self,
        request: CampaignRequest,
        parameters: dict[str, Any],
        title: str,
        author: Author,
        targets: Sequence[tuple[str, list[str] | None]],
        now: datetime,
    ) -> Campaign:
        await self._check_room()
        if not targets:
            raise FarsiteError(ErrorCode.CONFLICT, "No edge host is meant.")
        starts = _start(request.starts_at, now)
        campaign = Campaign(
            id=new_id(now),
            kind=request.kind,
            title=title,
            parameters=parameters,
            selection=request.selection.model_dump(mode="json"),
            rollout=request.rollout.model_dump(mode="json"),
            state=CampaignState.RUNNING,
            detail="",
            stage=0,
            forgiven=0,
            created_by=author.email,
            actor_id=author.account_id,
            actor=author.email,
            scopes=author.scopes,
            created_at=now,
            starts_at=starts,
            expires_at=(starts or now) + timedelta(hours=request.expires_in_hours),
            due_at=now,
        )
        self._scope.add(campaign)
        await self._scope.session.flush()
        for position, (edge, devices) in enumerate(targets):
            self._scope.add(_order(campaign, edge, devices, position, now))
        await self._scope.session.flush()
        return campaign

    async def _check_room(self) -> None:
        open_ = self._scope.select(Campaign).where(Campaign.state.not_in(FINISHED))
        if await self._scope.count(open_) >= MOST_OPEN:
            detail = f"{MOST_OPEN} campaigns are open already. Wait for one to end, or cancel one."
            raise FarsiteError(ErrorCode.CONFLICT, detail)

    # changed

    async def touch(self, campaign_id: str, now: datetime, author: Author | None = None) -> Campaign:
        """The campaign, with nobody else changing it until this unit of work ends; it is looked at next. Raises
        `not_found`."""
        due = self._scope.update(Campaign).where(Campaign.id == campaign_id).values(due_at=now)
        await self._scope.change(due)
        campaign = await self._scope.get(Campaign, campaign_id, "campaign")
        if author is not None:
            await self._check_whole(campaign)
            campaign.actor_id, campaign.actor = author.account_id, author.email
            campaign.scopes = author.scopes
        return campaign

    async def _check_whole(self, campaign: Campaign) -> None:
        """To change a campaign one must reach all of its edge hosts. Raises `not_found`, `forbidden`."""
        await self.get(campaign.id)
        if not self._scope.reach.everywhere:
            reached = await self.orders(campaign.id)
            if len(reached) != await self.size(campaign.id):
                detail = "The campaign has edge hosts that you do not reach."
                raise FarsiteError(ErrorCode.FORBIDDEN, detail, right=Right.DEVICE_MANAGE)

    async def pause(self, campaign_id: str, author: Author, now: datetime) -> Campaign:
        campaign = await self.touch(campaign_id, now, author)
        _only(campaign, {CampaignState.RUNNING, CampaignState.PAUSED}, "paused")
        campaign.state, campaign.detail = CampaignState.PAUSED, "Paused."
        return campaign

    async def resume(
        self, campaign_id: str, change: CampaignResume, author: Author, now: datetime
    ) -> Campaign:
        campaign = await self.touch(campaign_id, now, author)
        _only(campaign, {CampaignState.PAUSED, CampaignState.STOPPED, CampaignState.RUNNING}, "resumed")
        orders = await self.orders(campaign.id)
        campaign.forgiven = sum(failures_of(order) for order in orders)
        campaign.rollout = campaign.rollout | change.model_dump(exclude_none=True)
        campaign.state, campaign.detail = CampaignState.RUNNING, ""
        return campaign

    async def cancel(self, campaign_id: str, author: Author, now: datetime) -> Campaign:
        campaign = await self.touch(campaign_id, now, author)
        if CampaignState(campaign.state).finished:
            raise FarsiteError(ErrorCode.CONFLICT, "The campaign is finished; there is nothing to cancel.")
        campaign.state, campaign.detail = CampaignState.CANCELLING, "Being cancelled."
        return campaign

    async def remove(self, campaign: Campaign) -> None:
        """With all that became of it. Raises `conflict` unless it is over."""
        if not CampaignState(campaign.state).finished:
            raise FarsiteError(ErrorCode.CONFLICT, "The campaign is not finished. Cancel it first.")
        await self._check_whole(campaign)
        scope = self._scope
        orders = scope.select(CampaignOrder).where(CampaignOrder.campaign_id == campaign.id)
        ids = orders.with_only_columns(CampaignOrder.id)
        await scope.change(scope.delete(CampaignStep).where(CampaignStep.order_id.in_(ids)))
        await scope.change(scope.delete(CampaignDevice).where(CampaignDevice.campaign_id == campaign.id))
        await scope.change(scope.delete(CampaignOrder).where(CampaignOrder.campaign_id == campaign.id))
        await scope.change(scope.delete(Campaign).where(Campaign.id == campaign.id))


def failures_of(order: CampaignOrder) -> int:
    """An edge host that could not do it at all counts as one failed device."""
    failed = int(order.counts.get("failed", 0))
    return failed or int(order.state == OrderState.FAILED)


def _start(wanted: datetime | None, now: datetime) -> datetime | None:
    """Raises `invalid_request` for what nobody plans."""
    if wanted is not None and wanted > now + FURTHEST:
        detail = f"A campaign starts within {FURTHEST.days} days (starts_at)."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return None if wanted is None else max(wanted, now)


def _nothing_to_do(row: CampaignDevice) -> bool:
    return row.state == WorkState.SKIPPED and row.code is None


def _only(campaign: Campaign, states: set[CampaignState], what: str) -> None:
    if campaign.state not in states:
        detail = f"The campaign is {campaign.state} and cannot be {what}."
        raise FarsiteError(ErrorCode.CONFLICT, detail)


def _order(
    campaign: Campaign, edge: str, devices: list[str] | None, position: int, now: datetime
) -> CampaignOrder:
    return CampaignOrder(
        id=new_id(now),
        campaign_id=campaign.id,
        edge_host_id=edge,
        position=position,
        devices=devices,
        state=OrderState.QUEUED,
        wanted=Wanted.RUN,
        counts={},
    )
