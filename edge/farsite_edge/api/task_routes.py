"""Routes about tasks. Whoever may see some devices only sees those of a task; tasks without any do not exist."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.api.principal import Principal
from farsite_edge.audit import AuditLog
from farsite_edge.supervise import wait_for_any
from farsite_edge.tasks import TaskRunner
from farsite_edge.tasks.record import counted
from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire.edge_tasks import RetryRequest, Task, TaskDetail, TaskEvents, TaskList
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

KEY = "Idempotency-Key"
MAX_WAIT = 25.0
MAX_STEPS = 1000


class TaskQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cursor: int | None = Field(default=None, ge=0)
    limit: int = Field(default=50, ge=1, le=200)


class EventQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cursor: int = Field(default=0, ge=0)
    wait: float = Field(default=0.0, ge=0, le=MAX_WAIT)


class TaskRoutes:
    def __init__(self, runner: TaskRunner, audit: AuditLog) -> None:
        self._runner = runner
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        read, manage = Right.DEVICE_READ, Right.DEVICE_MANAGE
        api.route("GET", "/tasks", need=read, response=TaskList, query=TaskQuery)(self.tasks)
        api.route("GET", "/tasks/{id}", need=read, response=TaskDetail)(self.task)
        api.route("GET", "/tasks/{id}/events", need=read, response=TaskEvents, query=EventQuery)(self.events)
        api.route("POST", "/tasks/{id}/cancel", need=manage, response=Task)(self.cancel)
        retry = api.route(
            "POST",
            "/tasks/{id}/retry",
            need=manage,
            request=RetryRequest,
            response=Task,
            status=201,
            headers=(KEY,),
        )
        retry(self.retry)
        return api

    async def tasks(self, request: web.Request) -> TaskList:
        """Ongoing and completed tasks, newest first."""
        query = read_query(request, TaskQuery)
        principal = request[PRINCIPAL]
        records, following = await self._runner.store.page(query.cursor, query.limit)
        shown = [await self._seen(principal, record.id) for record in records]
        tasks = [task for task in shown if task is not None]
        return TaskList(tasks=tasks, next_cursor=str(following) if following else None)

    async def task(self, request: web.Request) -> TaskDetail:
        """A task with its devices and the step log of each."""
        principal, task = request[PRINCIPAL], request.match_info["id"]
        shown = await self._visible(principal, task)
        devices = [one for one in await self._runner.devices(task) if principal.sees(one.device)]
        return TaskDetail(**shown.model_dump(), devices=devices)

    async def events(self, request: web.Request) -> TaskEvents:
        """Steps after a cursor; with `wait` the answer comes when something happens, or after so many seconds."""
        query = read_query(request, EventQuery)
        principal, task = request[PRINCIPAL], request.match_info["id"]
        change = self._runner.watch()
        before = await self._visible(principal, task)
        steps = await self._runner.store.steps(task, query.cursor, MAX_STEPS)
        if not steps and query.wait and not before.state.finished:
            await wait_for_any(change, timeout=query.wait)
            steps = await self._runner.store.steps(task, query.cursor, MAX_STEPS)
        cursor = steps[-1].seq if steps else query.cursor
        visible = [step for step in steps if principal.sees(step.device)]
        return TaskEvents(task=await self._visible(principal, task), steps=visible, cursor=cursor)

    async def cancel(self, request: web.Request) -> Task:
        """Cancel a task: devices not begun are left alone, those at work stop where that is safe."""
        principal, task = request[PRINCIPAL], request.match_info["id"]
        await self._whole(principal, task)
        await self._write(principal, "task.cancel", task)
        await self._runner.cancel(task)
        return await self._runner.shown(task)

    async def retry(self, request: web.Request, body: RetryRequest) -> Task:
        """A new task for the devices of a finished one that did not succeed."""
        principal, task = request[PRINCIPAL], request.match_info["id"]
        await self._whole(principal, task)
        await self._write(principal, "task.retry", task)
        record = await self._runner.retry(
            task, body.devices, principal.actor, principal.session, idempotency_key(request)
        )
        return await self._runner.shown(record.id)

    async def _seen(self, principal: Principal, task: str) -> Task | None:
        shown = await self._runner.shown(task)
        if principal.grant is None or principal.grant.devices is None:
            return shown
        rows = [row for row in await self._runner.rows(task) if principal.sees(row.device)]
        return shown.model_copy(update={"counts": counted(rows)}) if rows else None

    async def _visible(self, principal: Principal, task: str) -> Task:
        shown = await self._seen(principal, task)
        if shown is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no task {task[:64]} on this edge host.")
        return shown

    async def _whole(self, principal: Principal, task: str) -> None:
        """To change a task one must be allowed all of its devices."""
        await self._visible(principal, task)
        if not all(principal.sees(row.device) for row in await self._runner.rows(task)):
            raise FarsiteError(
                ErrorCode.FORBIDDEN,
                "The task has devices this session does not reach.",
                right="device.manage",
            )

    async def _write(self, principal: Principal, action: str, task: str) -> None:
        await self._audit.write(action, actor=principal.actor, target=task[:64], session=principal.session)


def idempotency_key(request: web.Request) -> str | None:
    """Of the caller alone. Raises `invalid_request` for an absurd one."""
    key = request.headers.get(KEY)
    if key is None:
        return None
    if not 1 <= len(key) <= 200:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{KEY} has 1 to 200 characters.")
    return f"{request[PRINCIPAL].actor} {request.path} {key}"
