"""Routes about AXIS OS."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.api.task_routes import KEY, idempotency_key
from farsite_edge.audit import AuditLog
from farsite_edge.axis_os.service import OsService
from farsite_edge.tasks import TaskRunner
from farsite_signaling.rest import Api
from farsite_signaling.wire.edge_tasks import OsImages, OsInventory, RollbackRequest, Task, UpgradeRequest
from farsite_signaling.wire.rights import Right


class OsRoutes:
    def __init__(self, service: OsService, runner: TaskRunner, audit: AuditLog) -> None:
        self._service = service
        self._runner = runner
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        read, manage = Right.DEVICE_READ, Right.DEVICE_MANAGE
        api.route("GET", "/os/inventory", need=read, response=OsInventory)(self.inventory)
        api.route("GET", "/os/images", need=read, response=OsImages)(self.images)
        making = {"need": manage, "response": Task, "status": 201, "headers": (KEY,)}
        api.route("POST", "/os/upgrades", request=UpgradeRequest, **making)(self.upgrade)  # type: ignore[arg-type]
        api.route("POST", "/os/rollbacks", request=RollbackRequest, **making)(self.rollback)  # type: ignore[arg-type]
        return api

    async def inventory(self, request: web.Request) -> OsInventory:
        """Managed devices by model: versions, track, support end, recommended version."""
        return await self._service.inventory(request[PRINCIPAL].sees)

    async def images(self, request: web.Request) -> OsImages:
        """The images of the operator's folder, and why some cannot be used."""
        return await self._service.images()

    async def upgrade(self, request: web.Request, body: UpgradeRequest) -> Task:
        """Upgrade devices to a version, or each to its recommended one."""
        principal = request[PRINCIPAL]
        await self._write(request, "os.upgrade", body.ids, {"version": body.version or "recommended"})
        record = await self._service.upgrade(
            body,
            principal.sees,
            actor=principal.actor,
            session=principal.session,
            idempotency=idempotency_key(request),
        )
        return await self._runner.shown(record.id)

    async def rollback(self, request: web.Request, body: RollbackRequest) -> Task:
        """Take devices back to the version before."""
        principal = request[PRINCIPAL]
        await self._write(request, "os.rollback", body.ids, {})
        record = await self._service.rollback(
            body,
            principal.sees,
            actor=principal.actor,
            session=principal.session,
            idempotency=idempotency_key(request),
        )
        return await self._runner.shown(record.id)

    async def _write(
        self, request: web.Request, action: str, ids: list[str], details: dict[str, object]
    ) -> None:
        principal = request[PRINCIPAL]
        await self._audit.write(
            action,
            actor=principal.actor,
            target=f"{len(set(ids))} devices",
            session=principal.session,
            details=details,
        )
