"""Tells of many devices of a site that became unreachable together, once, and of their return."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.inventory.models import ManagedDevice
from farsite_cloud.notices.choices import settings_of
from farsite_cloud.notices.events import emit
from farsite_cloud.notices.losses import Outage, begun
from farsite_cloud.notices.models import NoticeEvent
from farsite_signaling.wire.notices_api import NoticeKind

NAMED = 20
"""Serial numbers that a notice names."""


async def look_for_losses(scope: Scope, edge_id: str, devices: int, now: datetime) -> None:
    """After devices of an edge host, which has so many now, were lost, came back or were removed."""
    edge = await EdgeHosts(scope).get(edge_id)
    lost = await _lost(scope, edge_id)
    lasting = await scope.all(_events(scope, edge_id).where(NoticeEvent.lasting.is_(True)).with_for_update())
    for event in lasting:
        await _look_again(scope, edge, event, lost, now)
    if any(event.due_at is not None for event in lasting):
        return  # what is lost now is told with it
    latest = await scope.first(_events(scope, edge_id).order_by(NoticeEvent.id.desc()))
    after = None if latest is None else _outage(latest).until
    most = (await settings_of(scope)).unreachable_devices
    outage = begun(lost.values(), devices, most, now, after)
    if outage is not None:
        await _tell(scope, edge, outage, devices, lost, now)


async def forget_losses(scope: Scope, edge_id: str) -> None:
    """Of an edge host whose devices are forgotten; nobody is told."""
    for event in await scope.all(_events(scope, edge_id).where(NoticeEvent.lasting.is_(True))):
        event.lasting, event.due_at = False, None


def _events(scope: Scope, edge_id: str) -> Select[NoticeEvent]:
    ours = (NoticeEvent.edge_host_id == edge_id, NoticeEvent.kind == NoticeKind.DEVICES_UNREACHABLE)
    return scope.select(NoticeEvent).where(*ours)


async def _lost(scope: Scope, edge_id: str) -> dict[str, datetime]:
    """Since when, by serial number."""
    statement = scope.select(ManagedDevice).where(
        ManagedDevice.edge_host_id == edge_id, ManagedDevice.unreachable_since.is_not(None)
    )
    columns = statement.with_only_columns(ManagedDevice.serial, ManagedDevice.unreachable_since)
    return {row[0]: row[1] for row in await scope.rows(columns.order_by(ManagedDevice.serial))}


async def _look_again(
    scope: Scope, edge: EdgeHost, event: NoticeEvent, lost: Mapping[str, datetime], now: datetime
) -> None:
    outage = _outage(event)
    told = event.due_at is None
    if not told:
        outage = outage.grown(lost.values())
    left = outage.left(lost.values())
    if outage.is_over(left):
        # One that nobody was told of yet is not told of any more.
        event.lasting, event.due_at = False, None
        if told:
            await _tell_over(scope, edge, event, outage, left, now)
    elif not told:
        devices = int(event.details["devices"])
        event.text, event.details = _text(edge, outage, devices), _details(edge, outage, devices, lost)


def _outage(event: NoticeEvent) -> Outage:
    details = event.details
    began, until = (datetime.fromisoformat(details[name]) for name in ("began", "until"))
    return Outage(began, until, int(details["unreachable"]))


async def _tell(
    scope: Scope, edge: EdgeHost, outage: Outage, devices: int, lost: Mapping[str, datetime], now: datetime
) -> None:
    await emit(
        scope,
        NoticeKind.DEVICES_UNREACHABLE,
        _text(edge, outage, devices),
        key=f"devices {edge.id} {outage.began.isoformat()}",
        now=now,
        edge_host_id=edge.id,
        details=_details(edge, outage, devices, lost),
        lasting=True,
    )


def _text(edge: EdgeHost, outage: Outage, devices: int) -> str:
    many = f"All {devices}" if outage.lost >= devices else f"{outage.lost} of {devices}"
    what = f"{many} devices of {edge.name!r} became unreachable at {outage.began:%Y-%m-%d %H:%M} UTC."
    return f"{what} Look at what they share: switch, power, network."


def _details(edge: EdgeHost, outage: Outage, devices: int, lost: Mapping[str, datetime]) -> dict[str, Any]:
    serials = [serial for serial, moment in lost.items() if outage.began <= moment <= outage.until]
    return {
        "name": edge.name,
        "devices": devices,
        "unreachable": outage.lost,
        "serials": serials[:NAMED],
        "began": outage.began.isoformat(),
        "until": outage.until.isoformat(),
    }


async def _tell_over(
    scope: Scope, edge: EdgeHost, event: NoticeEvent, outage: Outage, left: int, now: datetime
) -> None:
    still = f" {left} of them {'is' if left == 1 else 'are'} still unreachable." if left else ""
    text = f"The outage of {outage.lost} devices of {edge.name!r} since {outage.began:%Y-%m-%d %H:%M} UTC is over."
    await emit(
        scope,
        NoticeKind.DEVICES_REACHABLE,
        text + still,
        key=f"devices back {event.id}",
        now=now,
        edge_host_id=edge.id,
        details={"name": edge.name, "unreachable": left, "lost": outage.lost},
    )
