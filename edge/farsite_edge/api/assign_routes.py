"""The route that gives many devices host names and addresses."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.api.task_routes import KEY, idempotency_key
from farsite_edge.assign import AssignService
from farsite_edge.audit import AuditLog
from farsite_edge.tasks import TaskRunner
from farsite_signaling.rest import Api
from farsite_signaling.wire.assign_api import AssignPlan, AssignRequest
from farsite_signaling.wire.rights import Right


class AssignRoutes:
    def __init__(self, service: AssignService, runner: TaskRunner, audit: AuditLog) -> None:
        self._service = service
        self._runner = runner
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        api.route(
            "POST",
            "/devices/assignments",
            need=Right.DEVICE_MANAGE,
            request=AssignRequest,
            response=AssignPlan,
            status=201,
            headers=(KEY,),
        )(self.assign)
        return api

    async def assign(self, request: web.Request, body: AssignRequest) -> AssignPlan:
        """Check a table or a rule of host names and addresses, and carry out what is good."""
        principal = request[PRINCIPAL]
        rows = await self._service.plan(body, principal.sees)
        good = sum(row.problem is None for row in rows)
        if body.check or not good:
            return AssignPlan(rows=rows)
        await self._audit.write(
            "device.assign", actor=principal.actor, target=f"{good} devices", session=principal.session
        )
        task = await self._service.start(
            rows,
            body,
            principal.sees,
            actor=principal.actor,
            session=principal.session,
            idempotency=idempotency_key(request),
        )
        return AssignPlan(rows=rows, task=await self._runner.shown(task.id) if task is not None else None)
