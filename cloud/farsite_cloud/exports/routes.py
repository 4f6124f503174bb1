"""Exports of all of an organization's data: asked for, followed, downloaded."""

from __future__ import annotations

import asyncio

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.audit.log import Act, write
from farsite_cloud.database import Scope
from farsite_cloud.exports.models import Export
from farsite_cloud.exports.service import Exports, export_answer
from farsite_signaling.rest import Api
from farsite_signaling.wire import lifecycle_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/exports"
_ONE = _LIST + "/{export}"
_SLOWEST_READER = 60.0
"""Seconds one chunk of a download may take to leave."""


@api.route("GET", _LIST, need=Right.ORGANIZATION_OWN, response=wire.ExportList)
async def list_exports(request: web.Request) -> wire.ExportList:
    """Exports, newest first, with those that have expired."""
    call = call_of(request)
    return wire.ExportList(exports=[export_answer(one) for one in await Exports(call.whole).list()])


@api.route("POST", _LIST, need=Right.ORGANIZATION_OWN, response=wire.Export, status=201, headers=(HEADER,))
async def request_export(request: web.Request) -> wire.Export:
    """Ask for everything the organization has here, as one file; it is made in the background."""
    call = call_of(request)

    async def create() -> wire.Export:
        with call.act("export.requested") as act:
            export = await Exports(call.whole).request(call.actor, call.now)
            act.target = export.id
        call.later(call.services.sweeper.wake)
        return export_answer(export)

    return await once(request, call.caller.account_id, wire.Export, create)


@api.route("GET", _ONE, need=Right.ORGANIZATION_OWN, response=wire.Export)
async def get_export(request: web.Request) -> wire.Export:
    """One export: how far it is."""
    call = call_of(request)
    return export_answer(await Exports(call.whole).get(request.match_info["export"]))


@api.route("DELETE", _ONE, need=Right.ORGANIZATION_OWN)
async def remove_export(request: web.Request) -> None:
    """Remove an export and its file; one that is being made is given up."""
    call = call_of(request)
    with call.act("export.removed", request.match_info["export"]):
        exports = Exports(call.whole)
        await exports.remove(await exports.get(request.match_info["export"]))


@api.route(
    "GET",
    f"{_ONE}/file",
    need=Right.ORGANIZATION_OWN,
    errors=(ErrorCode.CONFLICT,),
    files=("application/zip",),
)
async def download_export(request: web.Request) -> web.StreamResponse:
    """The ZIP file: JSON Lines and CSV of every table, and a manifest that names them."""
    call = call_of(request)
    export = await Exports(call.whole).get(request.match_info["export"])
    _check_there(export, call)
    organization_id, actor = call.organization.id, call.actor
    await call.release()
    async with call.services.database.writing() as session:
        write(session, Act("export.downloaded", actor, call.source, [organization_id], export.id), call.now)
    response = web.StreamResponse(headers=_headers(export))
    response.content_length = export.size
    await response.prepare(request)
    await _stream(call, organization_id, export.id, response)
    await response.write_eof()
    return response


def _check_there(export: Export, call: Call) -> None:
    over = export.expires_at is not None and export.expires_at <= call.now
    if over or export.state == wire.ExportState.EXPIRED:
        raise FarsiteError(ErrorCode.NOT_FOUND, "This export has expired. Ask for another.")
    if export.state != wire.ExportState.DONE:
        raise FarsiteError(ErrorCode.CONFLICT, "This export is not finished. Look at its state.")


def _headers(export: Export) -> dict[str, str]:
    name = f"farsite-{export.organization_id}-{export.created_at:%Y%m%d}.zip"
    return {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{name}"',
        "ETag": f'"{export.sha256}"',
    }


async def _stream(call: Call, organization_id: str, export_id: str, response: web.StreamResponse) -> None:
    """Each chunk is read in a unit of work of its own: readers may be slow, and one that has stopped is left."""
    number = 0
    while True:
        async with call.services.database.reading() as session:
            exports = Exports(Scope(session, organization_id))
            chunk = await exports.chunk(export_id, number, call.services.vault)
        if chunk is None:
            return
        async with asyncio.timeout(_SLOWEST_READER):
            await response.write(chunk)
        number += 1
