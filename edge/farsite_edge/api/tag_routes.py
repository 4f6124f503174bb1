"""Routes about the edge host's own tags; those of devices are among the devices' routes."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.audit import AuditLog
from farsite_edge.devices.tags import EDGE_HOST, Tags
from farsite_signaling.rest import Api
from farsite_signaling.wire.inventory_api import TagChange, TagNames
from farsite_signaling.wire.rights import Right


class TagRoutes:
    def __init__(self, tags: Tags, audit: AuditLog) -> None:
        self._tags = tags
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        api.route("GET", "/tags", need=Right.DEVICE_READ, response=TagNames)(self.own)
        change = api.route("PATCH", "/tags", need=Right.EDGE_MANAGE, request=TagChange, response=TagNames)
        change(self.change)
        return api

    async def own(self, request: web.Request) -> TagNames:
        """Tags of the edge host."""
        return TagNames(tags=await self._tags.of(EDGE_HOST))

    async def change(self, request: web.Request, body: TagChange) -> TagNames:
        """Put tags on the edge host, and take some off."""
        principal = request[PRINCIPAL]
        tags = await self._tags.change(EDGE_HOST, body.add, body.remove)
        await self._audit.note(
            "edge.tags", actor=principal.actor, session=principal.session, details=body.model_dump()
        )
        return TagNames(tags=tags)
