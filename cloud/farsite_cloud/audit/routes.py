"""The organization's audit log: read, exported, verified."""

from __future__ import annotations

import asyncio

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.paging import cursor_of, decode_cursor
from farsite_cloud.audit.export import body_of, head_of, pages
from farsite_cloud.audit.filters import conditions
from farsite_cloud.audit.keeping import checkpoint_here
from farsite_cloud.audit.ledger import Ledger, audit_answer
from farsite_cloud.audit.log import Act, write
from farsite_cloud.audit.models import AuditCheckpoint
from farsite_cloud.audit.verify import verify_chain
from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire import audit_api as wire
from farsite_signaling.wire import cloud_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

api = Api()
_LOG = "/organizations/{org}/audit"
_SLOWEST_READER = 60.0
"""Seconds one page of an export may take to leave."""
_MEDIA = {
    wire.ExportFormat.CSV: "text/csv; charset=utf-8",
    wire.ExportFormat.JSONL: "application/x-ndjson",
}


@api.route("GET", _LOG, need=Right.AUDIT_READ, response=wire.AuditList, query=wire.AuditQuery)
async def list_audit(request: web.Request) -> wire.AuditList:
    """Acts and refusals in the organization, newest first."""
    query = read_query(request, wire.AuditQuery)
    ledger = _ledger(call_of(request))
    seq = ledger.model.seq
    statement = ledger.select().where(seq.is_not(None), *conditions(query))
    if query.cursor is not None:
        statement = statement.where(seq < _number(query.cursor))
    rows = await ledger.rows(statement.order_by(seq.desc()).limit(query.limit + 1))
    return wire.AuditList(
        rows=[audit_answer(row) for row in rows[: query.limit]],
        next_cursor=cursor_of(str(rows[query.limit - 1].seq)) if len(rows) > query.limit else None,
    )


@api.route(
    "GET",
    f"{_LOG}/export",
    need=Right.AUDIT_READ,
    query=wire.AuditExportQuery,
    files=("application/x-ndjson", "text/csv"),
)
async def export_audit(request: web.Request) -> web.StreamResponse:
    """The log as JSON Lines or CSV, oldest first, as long as it is; `X-Farsite-Last` names the last row's number."""
    call = call_of(request)
    query = read_query(request, wire.AuditExportQuery)
    head, _ = await _ledger(call).head()
    organization = call.organization.id
    await call.release()
    await _note_export(call, organization, query)
    response = web.StreamResponse(headers=_export_headers(query.format, head.seq))
    await response.prepare(request)
    await _write(response, head_of(query.format))
    async for rows in pages(call.services.database, organization, query, head.seq):
        await _write(response, body_of(query.format, rows))
    await response.write_eof()
    return response


def _export_headers(format: wire.ExportFormat, last: int) -> dict[str, str]:
    return {
        "Content-Type": _MEDIA[format],
        "Content-Disposition": f'attachment; filename="audit.{format}"',
        "X-Farsite-Last": str(last),
    }


async def _note_export(call: Call, organization: str, query: wire.AuditExportQuery) -> None:
    details = query.model_dump(mode="json", exclude_none=True)
    act = Act("audit.exported", call.caller.email, call.source, [organization], details=details)
    async with call.services.database.writing() as session:
        write(session, act, call.now)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """A reader that has stopped reading is left."""
    async with asyncio.timeout(_SLOWEST_READER):
        if data:
            await response.write(data)


@api.route(
    "GET",
    f"{_LOG}/verification",
    need=Right.AUDIT_READ,
    response=wire.AuditVerification,
    query=wire.VerificationQuery,
)
async def verify_audit(request: web.Request) -> wire.AuditVerification:
    """Recompute the organization's chain and say where it breaks; compare it with an earlier checkpoint."""
    call = call_of(request)
    query = read_query(request, wire.VerificationQuery)
    organization, database = call.organization.id, call.services.database
    await call.release()
    return await verify_chain(database, organization, query.checkpoint)


@api.route("POST", f"{_LOG}/checkpoints", need=Right.AUDIT_READ, response=wire.AuditCheckpoint, status=201)
async def make_audit_checkpoint(request: web.Request) -> wire.AuditCheckpoint:
    """Sign where the log stands now. Keep the token elsewhere: a log rewritten later does not fit it."""
    call = call_of(request)
    # Before the act's own row, which comes behind it.
    signed = await checkpoint_here(_ledger(call), wire.Purpose.ASKED, call.services.vault, call.now)
    with call.act("audit.checkpoint", f"row {signed.seq}"):
        return signed


@api.route(
    "GET",
    f"{_LOG}/checkpoints",
    need=Right.AUDIT_READ,
    response=wire.AuditCheckpoints,
    query=cloud_api.Page,
)
async def list_audit_checkpoints(request: web.Request) -> wire.AuditCheckpoints:
    """Checkpoints kept with the log, newest first: one a day, those asked for, and where old rows were let go."""
    page = read_query(request, cloud_api.Page)
    before = None if page.cursor is None else _number(page.cursor)
    rows = await _ledger(call_of(request)).checkpoints(before, page.limit + 1)
    following = rows[page.limit - 1].seq if len(rows) > page.limit else None
    return wire.AuditCheckpoints(
        checkpoints=[_checkpoint_answer(row) for row in rows[: page.limit]],
        next_cursor=None if following is None else cursor_of(str(following)),
    )


def _checkpoint_answer(row: AuditCheckpoint) -> wire.AuditCheckpoint:
    return wire.AuditCheckpoint(
        chain=row.chain,
        seq=row.seq,
        hash=row.hash,
        at=row.at,
        purpose=wire.Purpose(row.purpose),
        token=row.token,
    )


def _ledger(call: Call) -> Ledger:
    return Ledger(call.session, call.organization.id)


def _number(cursor: str) -> int:
    try:
        number = int(decode_cursor(cursor))
    except ValueError:
        number = -1
    if not 0 <= number < 2**62:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The cursor is not one of this list's.")
    return number
