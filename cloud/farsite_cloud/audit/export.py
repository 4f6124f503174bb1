"""The log as a file: JSON Lines with everything needed to verify it, or CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence

from farsite_cloud.audit.filters import conditions
from farsite_cloud.audit.ledger import Ledger, Row, audit_answer
from farsite_cloud.database import Database
from farsite_cloud.spreadsheets import safe_cell
from farsite_signaling.wire.audit_api import AuditFilter, AuditRow, ExportFormat

_PAGE = 500
COLUMNS = (
    "seq",
    "at",
    "actor",
    "action",
    "target",
    "outcome",
    "source",
    "session",
    "origin",
    "origin_id",
    "details",
    "id",
    "hash",
)


async def pages(
    database: Database, chain: str, wanted: AuditFilter, last: int
) -> AsyncIterator[list[AuditRow]]:
    """Rows up to number `last`, oldest first, each page in a transaction of its own: readers may be slow."""
    after = 0
    while True:
        async with database.reading() as session:
            rows = await _page(Ledger(session, chain), wanted, after, last)
        if not rows:
            return
        yield [audit_answer(row) for row in rows]
        after = rows[-1].seq or last


async def _page(ledger: Ledger, wanted: AuditFilter, after: int, last: int) -> Sequence[Row]:
    seq = ledger.model.seq
    statement = ledger.select().where(seq > after, seq <= last, *conditions(wanted))
    return await ledger.rows(statement.order_by(seq).limit(_PAGE))


def head_of(format: ExportFormat) -> bytes:
    return _csv([COLUMNS]) if format is ExportFormat.CSV else b""


def body_of(format: ExportFormat, rows: Iterable[AuditRow]) -> bytes:
    if format is ExportFormat.CSV:
        return _csv([[safe_cell(_text(row, column)) for column in COLUMNS] for row in rows])
    return b"".join(row.model_dump_json().encode() + b"\n" for row in rows)


def _text(row: AuditRow, column: str) -> str:
    match column:
        case "at":
            return row.at.isoformat()
        case "details":
            return json.dumps(row.details, ensure_ascii=False, sort_keys=True)
        case _:
            value = getattr(row, column)
            return "" if value is None else str(value)


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue().encode()
