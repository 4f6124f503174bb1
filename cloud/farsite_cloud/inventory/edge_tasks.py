"""Tasks of edge hosts and what became of each device, as they tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.inventory.models import EdgeHostTask, EdgeHostWork
from farsite_cloud.notices.upgrades import tell_failed
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.inventory import TaskFacts, WorkFacts

KEPT = 1000
"""Tasks of one edge host; the oldest finished ones beyond go."""
_TRIM_AT = KEPT + 100


async def take(
    scope: Scope, edge_id: str, tasks: Sequence[TaskFacts], work: Sequence[WorkFacts], now: datetime
) -> None:
    if not tasks and not work:
        return
    ids = {one.id for one in tasks} | {one.task for one in work}
    statement = scope.select(EdgeHostTask).where(EdgeHostTask.edge_host_id == edge_id)
    found = await scope.all(statement.where(EdgeHostTask.task.in_(sorted(ids))))
    known = {row.task: row for row in found}
    for facts in sorted(tasks, key=lambda one: one.created_at):
        known[facts.id] = _write(scope, edge_id, known.get(facts.id), facts, now)
    await scope.session.flush()
    await _take_work(scope, known, work, now)
    await tell_failed(scope, edge_id, [known[facts.id] for facts in tasks], now)
    await _trim(scope, edge_id)


def _write(
    scope: Scope, edge_id: str, row: EdgeHostTask | None, facts: TaskFacts, now: datetime
) -> EdgeHostTask:
    if row is None:
        row = EdgeHostTask(id=new_id(now), edge_host_id=edge_id, task=facts.id)
        scope.add(row)
    row.kind, row.title, row.state = clean(facts.kind), clean(facts.title), facts.state.value
    row.actor, row.detail, row.retry_of = clean(facts.actor), clean(facts.detail), facts.retry_of
    row.created_at, row.started_at = facts.created_at, facts.started_at
    row.finished_at, row.counts = facts.finished_at, facts.counts.model_dump()
    return row


async def _take_work(
    scope: Scope, tasks: dict[str, EdgeHostTask], work: Sequence[WorkFacts], now: datetime
) -> None:
    """Of a task the cloud was never told of nothing is kept."""
    told = {(tasks[one.task].id, one.position): one for one in work if one.task in tasks}
    if not told:
        return
    statement = scope.select(EdgeHostWork).where(
        EdgeHostWork.task_id.in_(sorted({task for task, _ in told})),
        EdgeHostWork.position.in_(sorted({position for _, position in told})),
    )
    known = {(row.task_id, row.position): row for row in await scope.all(statement)}
    for (task, position), facts in told.items():
        row = known.get((task, position))
        if row is None:
            row = EdgeHostWork(id=new_id(now), task_id=task, position=position)
            scope.add(row)
        row.device, row.state, row.step = clean(facts.device), facts.state.value, clean(facts.step)
        row.detail, row.code = clean(facts.detail), clean(facts.code or "") or None


async def _trim(scope: Scope, edge_id: str) -> None:
    own = scope.select(EdgeHostTask).where(EdgeHostTask.edge_host_id == edge_id)
    if await scope.count(own) <= _TRIM_AT:
        return
    finished = own.where(EdgeHostTask.finished_at.is_not(None)).with_only_columns(EdgeHostTask.id)
    rows = await scope.rows(finished.order_by(EdgeHostTask.id.desc()).offset(KEPT))
    await forget(scope, [row.id for row in rows])


async def forget(scope: Scope, ids: Sequence[str]) -> None:
    await scope.change(scope.delete(EdgeHostWork).where(EdgeHostWork.task_id.in_(ids)))
    await scope.change(scope.delete(EdgeHostTask).where(EdgeHostTask.id.in_(ids)))
