"""Upgrades that failed on a site: those that were started there or from its page. Campaigns are told of as a whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.inventory.models import EdgeHostTask
from farsite_cloud.notices.events import emit, known
from farsite_cloud.work.models import CampaignOrder
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.notices_api import NoticeKind

KINDS = frozenset({"os.upgrade", "os.rollback"})
NEWS = timedelta(days=1)
"""What failed longer ago is history that an edge host tells of, no news."""


async def tell_failed(scope: Scope, edge_id: str, tasks: Collection[EdgeHostTask], now: datetime) -> None:
    """Of these tasks of an edge host, those that failed and that nobody was told of."""
    failed = [task for task in tasks if task.kind in KINDS and _failed(task, now)]
    fresh = await _fresh(scope, edge_id, failed) if failed else []
    if not fresh:
        return
    edge = await EdgeHosts(scope).get(edge_id)
    for task in fresh:
        await emit(
            scope,
            NoticeKind.UPGRADE_FAILED,
            _sentence(task, edge.name),
            key=_key(task),
            now=now,
            edge_host_id=edge_id,
            details={"name": edge.name, "task": task.id, "counts": task.counts, "by": task.actor},
        )


def _failed(task: EdgeHostTask, now: datetime) -> bool:
    recent = task.finished_at is not None and task.finished_at >= now - NEWS
    return recent and (task.state == TaskState.FAILED or task.counts.get("failed", 0) > 0)


async def _fresh(scope: Scope, edge_id: str, tasks: Sequence[EdgeHostTask]) -> list[EdgeHostTask]:
    told = await known(scope, [_key(task) for task in tasks])
    ordered = scope.select(CampaignOrder).where(
        CampaignOrder.edge_host_id == edge_id, CampaignOrder.task.in_([task.task for task in tasks])
    )
    campaigns = {order.task for order in await scope.all(ordered)}
    return [task for task in tasks if task.task not in campaigns and _key(task) not in told]


def _key(task: EdgeHostTask) -> str:
    return f"upgrade failed {task.id}"


def _sentence(task: EdgeHostTask, edge_name: str) -> str:
    failed, total = task.counts.get("failed", 0), sum(task.counts.values())
    which = f"{failed} of {total} devices" if failed else "no device was changed"
    what = "rollback" if task.kind == "os.rollback" else "upgrade"
    return f"The {what} {task.title!r} on {edge_name!r} failed: {which}. {task.detail}".strip()
