"""Routes about tags of devices and of the edge host itself."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.audit import AuditLog
from farsite_edge.inventory.tags import EDGE_HOST, Tags
from farsite_signaling.rest import Api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import DeviceTags, EdgeTags, TagChange, TagNames
from farsite_signaling.wire.rights import Right


class TagRoutes:
    def __init__(self, tags: Tags, audit: AuditLog) -> None:
        self._tags = tags
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        api.route("GET", "/tags", need=Right.DEVICE_READ, response=EdgeTags)(self.all)
        change = api.route("PATCH", "/tags", need=Right.EDGE_MANAGE, request=TagChange, response=TagNames)
        change(self.change_own)
        change = api.route(
            "PATCH", "/devices/{id}/tags", need=Right.DEVICE_MANAGE, request=TagChange, response=TagNames
        )
        change(self.change)
        return api

    async def all(self, request: web.Request) -> EdgeTags:
        """Tags of the edge host and of its devices."""
        found = await self._tags.all()
        own = found.pop(EDGE_HOST, [])
        seen = [
            DeviceTags(serial=serial, tags=tags)
            for serial, tags in found.items()
            if request[PRINCIPAL].sees(serial)
        ]
        return EdgeTags(tags=own, devices=seen)

    async def change_own(self, request: web.Request, body: TagChange) -> TagNames:
        """Put tags on the edge host, and take some off."""
        return await self._change(request, EDGE_HOST, body)

    async def change(self, request: web.Request, body: TagChange) -> TagNames:
        """Put tags on a managed device, and take some off."""
        device = request.match_info["id"]
        if not request[PRINCIPAL].allows(Right.DEVICE_MANAGE, device):
            detail = f"There is no device {device[:64]} on this edge host."
            raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, detail)
        return await self._change(request, device, body)

    async def _change(self, request: web.Request, thing: str, body: TagChange) -> TagNames:
        principal = request[PRINCIPAL]
        tags = await self._tags.change(thing, body.add, body.remove)
        await self._audit.note(
            "tags.changed",
            actor=principal.actor,
            target=thing or "edge host",
            session=principal.session,
            details=body.model_dump(),
        )
        return TagNames(tags=tags)
