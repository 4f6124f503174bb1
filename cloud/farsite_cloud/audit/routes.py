"""The organization's audit log, newest first."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.api.call import call_of
from farsite_cloud.api.paging import next_cursor, read_page
from farsite_cloud.audit.log import audit_answer
from farsite_cloud.audit.models import AuditEvent
from farsite_signaling.rest import Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.rights import Right

api = Api()


@api.route(
    "GET",
    "/organizations/{org}/audit",
    need=Right.AUDIT_READ,
    response=wire.AuditList,
    query=wire.Page,
)
async def list_audit(request: web.Request) -> wire.AuditList:
    """Acts and refusals in the organization, newest first."""
    scope = call_of(request).scope
    after, limit = read_page(request)
    statement = scope.select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(AuditEvent.id < after)
    rows = await scope.all(statement)
    return wire.AuditList(
        rows=[audit_answer(row) for row in rows[:limit]], next_cursor=next_cursor(rows, limit)
    )
