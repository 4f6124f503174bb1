"""Routes about the edge host itself."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.api.guard import PRINCIPAL, WAY
from farsite_edge.api.principal import LOCAL_ACTOR, Principal, Way
from farsite_edge.audit import AuditLog
from farsite_edge.lan.multicast import Budget
from farsite_edge.preferences import Preferences
from farsite_signaling.rest import PUBLIC, Answer, Api, read_query
from farsite_signaling.rest.etags import IF_MATCH, check_if_match, etag
from farsite_signaling.wire.edge_api import (
    AuditList,
    AuditRow,
    ClaimRequest,
    EdgeInfo,
    EdgeStatus,
    Settings,
    SettingsChange,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cursor: int | None = Field(default=None, ge=0)
    limit: int = Field(default=100, ge=1, le=500)


class Health(BaseModel):
    status: str = "ok"


class HostActs(Protocol):
    """What the routes need of the edge host."""

    def info(self) -> EdgeInfo: ...
    def status(self) -> EdgeStatus: ...
    async def claim(self, request: ClaimRequest, *, source: str) -> None: ...
    def settings_changed(self, changed: list[str], *, through_tunnel: bool) -> None: ...


class HostRoutes:
    def __init__(self, acts: HostActs, preferences: Preferences, audit: AuditLog) -> None:
        self._acts = acts
        self._preferences = preferences
        self._audit = audit
        self._claims = Budget()
        self._edits = asyncio.Lock()

    def api(self) -> Api:
        api = Api()
        api.route("GET", "/info", need=PUBLIC, response=EdgeInfo)(self.info)
        api.route("GET", "/healthz", need=PUBLIC, response=Health)(self.healthz)
        api.route("POST", "/claim", need=PUBLIC, request=ClaimRequest, response=EdgeInfo)(self.claim)
        api.route("GET", "/status", need=Right.EDGE_READ, response=EdgeStatus)(self.status)
        api.route("GET", "/settings", need=Right.EDGE_READ, response=Settings)(self.settings)
        change = api.route(
            "PATCH",
            "/settings",
            need=Right.EDGE_MANAGE,
            request=SettingsChange,
            response=Settings,
            headers=(IF_MATCH,),
        )
        change(self.change_settings)
        api.route("GET", "/audit", need=Right.AUDIT_READ, response=AuditList, query=Page)(self.audit)
        return api

    async def info(self, request: web.Request) -> EdgeInfo:
        """Who this edge host is."""
        return self._acts.info()

    async def healthz(self, request: web.Request) -> Health:
        """Whether this process answers."""
        return Health()

    async def claim(self, request: web.Request, body: ClaimRequest) -> EdgeInfo:
        """Claim this edge host with a setup code; only while unclaimed."""
        if request.content_type != "application/json":
            # A page in a browser cannot send this type elsewhere without being allowed to first.
            raise FarsiteError(ErrorCode.INVALID_REQUEST, "Send the claim as application/json.")
        if not self._claims.take(request.remote or ""):
            raise FarsiteError(
                ErrorCode.RATE_LIMITED, "Too many claims at once. Wait a second.", retry_after=1
            )
        local = request[WAY] is Way.LOCAL
        await self._acts.claim(body, source=LOCAL_ACTOR if local else f"lan {request.remote}")
        return self._acts.info()

    async def status(self, request: web.Request) -> EdgeStatus:
        """How the edge host is doing."""
        return self._acts.status()

    async def settings(self, request: web.Request) -> Answer:
        """Settings > Edge host connections."""
        return Answer(await self._preferences.shown(), etag(self._preferences.revision))

    async def change_settings(self, request: web.Request, body: SettingsChange) -> web.StreamResponse:
        """Change name, remote access or proxy address."""
        principal = request[PRINCIPAL]
        async with self._edits:
            check_if_match(request, self._preferences.revision)
            changed = await self._preferences.change(body)
            shown, tag = await self._preferences.shown(), etag(self._preferences.revision)
        if changed:
            await self._audit_change(principal, changed, shown)
        response = web.Response(text=shown.model_dump_json(), content_type="application/json", headers=tag)
        # Answered first: switching remote access off takes away the tunnel this may have come through.
        await response.prepare(request)
        await response.write_eof()
        self._acts.settings_changed(changed, through_tunnel=principal.way is Way.TUNNEL)
        return response

    async def _audit_change(self, principal: Principal, changed: list[str], shown: Settings) -> None:
        values = shown.model_dump(include=set(changed))
        await self._audit.write(
            "edge.settings",
            actor=principal.actor,
            target=", ".join(changed),
            session=principal.session,
            details=values,
        )

    async def audit(self, request: web.Request) -> AuditList:
        """The audit log, newest first."""
        page = read_query(request, Page)
        entries, following = await self._audit.page(page.cursor, page.limit)
        rows = [AuditRow.model_validate(entry.model_dump()) for entry in entries]
        return AuditList(rows=rows, next_cursor=str(following) if following else None)
