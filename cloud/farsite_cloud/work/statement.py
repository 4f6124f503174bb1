"""An order as it is stated to its edge host."""

from __future__ import annotations

from datetime import datetime

from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import edge_name
from farsite_cloud.organizations.entrance import Entrance
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.work.models import Campaign, CampaignOrder
from farsite_signaling.wire.rights import Right, Role
from farsite_signaling.wire.work import MAX_ORDER, Order, Selection, WorkOrder
from farsite_signaling.wire.work_api import CampaignRollout


def rights_now(entrance: Entrance | None, scopes: list[str] | None) -> frozenset[Right]:
    """Of somebody as they are let in now, if they are, acting with these scopes."""
    if entrance is None:
        return frozenset()
    rights = entrance.rights
    return rights if scopes is None else rights & frozenset(Right(one) for one in scopes if one in set(Right))


def stated(
    campaign: Campaign,
    order: CampaignOrder,
    edge: EdgeHost,
    entrance: Entrance | None,
    budget: int | None,
    keys: OrganizationKeys,
    now: datetime,
) -> WorkOrder:
    """`budget`: how many devices may still fail before the campaign stops."""
    site = CampaignRollout.model_validate(campaign.rollout).site
    if budget is not None:
        site = site.model_copy(update={"max_failures": max(1, min(site.max_failures, budget))})
    selection = Selection.model_validate(campaign.selection)
    if order.devices is not None:
        selection = Selection(devices=order.devices)
    claims = Order(
        aud=str(edge_name(edge)),
        sub=f"urn:farsite:{campaign.organization_id}:user:{campaign.actor_id}",
        email=campaign.actor,
        org=campaign.organization_id,
        role=entrance.role if entrance else Role.VIEWER,
        rights=rights_now(entrance, campaign.scopes),
        id=order.id,
        campaign=campaign.id,
        serial=order.serial,
        wanted=order.wanted,
        kind=campaign.kind,
        title=campaign.title,
        parameters=campaign.parameters,
        selection=selection,
        rollout=site,
        iat=int(now.timestamp()),
        exp=int(campaign.expires_at.timestamp()),
    )
    return WorkOrder(id=order.id, order=keys.sign_order(claims))


def fits(claims_size: int) -> bool:
    """Whether parameters and selection of so many bytes of JSON leave room for the rest of a signed order."""
    return claims_size * 4 // 3 + 6000 <= MAX_ORDER
