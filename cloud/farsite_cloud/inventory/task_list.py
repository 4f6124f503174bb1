"""Tasks of edge hosts, for those who reach them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.inventory.models import EdgeHostTask, EdgeHostWork
from farsite_signaling.wire import inventory_api as wire
from farsite_signaling.wire.edge_tasks import WorkCounts
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_FIELDS = (
    "id",
    "edge_host_id",
    "task",
    "kind",
    "title",
    "state",
    "actor",
    "created_at",
    "started_at",
    "finished_at",
    "detail",
    "retry_of",
)


class EdgeTasks:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def page(self, query: wire.EdgeTaskQuery, before: str | None, limit: int) -> list[EdgeHostTask]:
        """One more than `limit`, if there are."""
        statement = await self._reached()
        if query.edge_host is not None:
            statement = statement.where(EdgeHostTask.edge_host_id == query.edge_host)
        if query.state is not None:
            statement = statement.where(EdgeHostTask.state == query.state.value)
        if query.kind is not None:
            statement = statement.where(EdgeHostTask.kind == query.kind)
        if before is not None:
            statement = statement.where(EdgeHostTask.id < before)
        return await self._scope.all(statement.order_by(EdgeHostTask.id.desc()).limit(limit + 1))

    async def answers(self, rows: Sequence[EdgeHostTask]) -> list[wire.EdgeTask]:
        edges = await EdgeHosts(self._scope).named({row.edge_host_id for row in rows})
        return [_answer(row, edges[row.edge_host_id].name) for row in rows if row.edge_host_id in edges]

    async def detail(self, task: str) -> wire.EdgeTaskDetail:
        """Raises `not_found`."""
        row = await self._scope.first((await self._reached()).where(EdgeHostTask.id == task))
        answers = [] if row is None else await self.answers([row])
        if not answers:
            detail = f"There is no task {task[:64]!r} of an edge host in this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        statement = self._scope.select(EdgeHostWork).where(EdgeHostWork.task_id == task)
        work = await self._scope.all(statement.order_by(EdgeHostWork.position))
        names = ("device", "state", "step", "detail", "code")
        devices = [wire.EdgeWork(**{name: getattr(one, name) for name in names}) for one in work]
        return wire.EdgeTaskDetail(**answers[0].model_dump(), devices=devices)

    async def _reached(self) -> Select[EdgeHostTask]:
        statement = self._scope.select(EdgeHostTask)
        if self._scope.reach.everywhere:
            return statement
        edges = [edge.id for edge in await EdgeHosts(self._scope).within(None, None)]
        return statement.where(EdgeHostTask.edge_host_id.in_(edges))


def _answer(row: EdgeHostTask, edge_host: str) -> wire.EdgeTask:
    values = {name: getattr(row, name) for name in _FIELDS}
    return wire.EdgeTask(**values, edge_host=edge_host, counts=WorkCounts.model_validate(row.counts))
