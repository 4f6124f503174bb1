"""Exports: all rows of a filter, streamed, in formats that spreadsheets and scripts read."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from aiohttp import web

from farsite_cloud.api.call import Call
from farsite_cloud.edge_hosts.service import online_by
from farsite_cloud.inventory.devices import Answers, Devices
from farsite_cloud.inventory.selection import select_devices
from farsite_cloud.spreadsheets import safe_cell
from farsite_signaling.rest import add_headers
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import Catalogued, ExportQuery, InventoryDevice

PAGE = 500
SEND_TIMEOUT = 30.0
_OF_CATALOGUE = [name for name in Catalogued.model_fields if name != "tracks"]
COLUMNS = [name for name in InventoryDevice.model_fields if name != "catalogue"] + _OF_CATALOGUE
"""What can be asked for, in the order it comes in."""


async def export(request: web.Request, call: Call, query: ExportQuery) -> web.StreamResponse:
    """Raises `invalid_request` for an unknown column, before anything is sent."""
    columns = read_columns(query.columns)
    pages = _pages(call, query)
    first = await anext(pages)
    response = web.StreamResponse(headers=_headers(query.format))
    await add_headers(request, response)
    await response.prepare(request)
    write = _csv if query.format == "csv" else _json
    async for text in write(columns, first, pages):
        async with asyncio.timeout(SEND_TIMEOUT):
            await response.write(text.encode())
    await response.write_eof()
    return response


def read_columns(given: str | None) -> list[str]:
    if given is None:
        return COLUMNS
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in COLUMNS:
            detail = f"There is no column {name[:64]!r}. There are: {', '.join(COLUMNS)}."
            raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return names or COLUMNS


def _headers(kind: str) -> dict[str, str]:
    media = "text/csv; charset=utf-8" if kind == "csv" else "application/json"
    return {"Content-Type": media, "Content-Disposition": f'attachment; filename="devices.{kind}"'}


async def _pages(call: Call, query: ExportQuery) -> AsyncIterator[list[InventoryDevice]]:
    """Each in a unit of work of its own: whoever reads slowly keeps no connection from the others."""
    scope, today = call.scope, call.now.date()
    selection = await select_devices(scope, query, today)
    await call.release()
    cursor: str | None = None
    while True:
        async with call.services.database.reading() as session:
            inside = scope.inside(session)
            rows, cursor = await Devices(inside).page(selection, query.sort, cursor, PAGE)
            answers = Answers(inside, online_by(call.services.peers), today)
            page = await answers.make(rows)
        yield page
        if cursor is None:
            return


async def _csv(
    columns: Sequence[str], first: list[InventoryDevice], rest: AsyncIterator[list[InventoryDevice]]
) -> AsyncIterator[str]:
    yield _lines([list(columns)])
    yield _lines(_cells(columns, first))
    async for page in rest:
        yield _lines(_cells(columns, page))


def _lines(rows: Iterator[list[str]] | list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(columns: Sequence[str], page: list[InventoryDevice]) -> Iterator[list[str]]:
    for device in page:
        values = _values(device)
        yield [cell(values.get(name)) for name in columns]


def cell(value: Any) -> str:
    """As text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    return text if isinstance(value, int) else safe_cell(text)


async def _json(
    columns: Sequence[str], first: list[InventoryDevice], rest: AsyncIterator[list[InventoryDevice]]
) -> AsyncIterator[str]:
    """One array; a device on each line."""
    yield "[" + ",".join(_objects(columns, first))
    between = "," if first else ""
    async for page in rest:
        yield between + ",".join(_objects(columns, page))
    yield "\n]\n"


def _objects(columns: Sequence[str], page: list[InventoryDevice]) -> Iterator[str]:
    for device in page:
        values = _values(device)
        yield "\n" + json.dumps({name: values.get(name) for name in columns}, ensure_ascii=False)


def _values(device: InventoryDevice) -> dict[str, Any]:
    """What JSON has, in one layer."""
    values = device.model_dump(mode="json")
    return values | (values.pop("catalogue") or {})
