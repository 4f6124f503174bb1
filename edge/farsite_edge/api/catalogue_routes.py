"""Routes about the catalogue of AXIS OS images."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.api.task_routes import KEY, idempotency_key
from farsite_edge.audit import AuditLog
from farsite_edge.os_catalogue.service import CatalogueService
from farsite_edge.tasks import TaskRunner
from farsite_signaling.rest import Api
from farsite_signaling.wire.edge_tasks import Task
from farsite_signaling.wire.os_catalogue_api import DownloadRequest, OsCatalogue
from farsite_signaling.wire.rights import Right


class CatalogueRoutes:
    def __init__(self, service: CatalogueService, runner: TaskRunner, audit: AuditLog) -> None:
        self._service = service
        self._runner = runner
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        read, manage = Right.DEVICE_READ, Right.DEVICE_MANAGE
        api.route("GET", "/os/catalogue", need=read, response=OsCatalogue)(self.catalogue)
        api.route("POST", "/os/catalogue/refresh", need=manage, response=OsCatalogue)(self.refresh)
        making = {"need": manage, "response": Task, "status": 201, "headers": (KEY,)}
        api.route("POST", "/os/downloads", request=DownloadRequest, **making)(self.download)  # type: ignore[arg-type]
        return api

    async def catalogue(self, request: web.Request) -> OsCatalogue:
        """Images the catalogue offers, as it was fetched last; why it could not be fetched since."""
        return self._service.shown()

    async def refresh(self, request: web.Request) -> OsCatalogue:
        """Fetch the catalogue now."""
        return await self._service.refresh()

    async def download(self, request: web.Request, body: DownloadRequest) -> Task:
        """Download images to the edge host before they are needed."""
        principal = request[PRINCIPAL]
        record = await self._service.download(
            body,
            actor=principal.actor,
            session=principal.session,
            idempotency=idempotency_key(request),
        )
        await self._audit.write(
            "os.download", actor=principal.actor, target=record.title, session=principal.session, details={}
        )
        return await self._runner.shown(record.id)
