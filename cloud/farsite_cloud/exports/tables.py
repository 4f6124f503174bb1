"""What an export holds: every table of organizations' rows, found by itself, without what is secret."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, inspect

from farsite_cloud.database import Base, OrganizationOwned, Scope

PAGE = 500
# Codes are known by digests only, which open what they are of to whoever guesses them; exports hold no exports.
LEFT_OUT = frozenset({"setup_codes", "provider_sign_ins", "exports", "export_chunks"})
# Columns that are sealed, or named as secrets are, stay here, in tables of features to come as well.
_SECRET = re.compile(r"(^|_)(secret|digest|password|passphrase|private|sealed)(_|$)|^(code|token|key)$")
# Named so, and none: why a device failed, and what an event was about.
_PLAIN = frozenset(
    {"campaign_devices.code", "campaign_orders.code", "edge_host_work.code", "notice_events.key"}
)


@dataclass(frozen=True)
class ExportedTable:
    model: type[OrganizationOwned]
    name: str
    columns: tuple[str, ...]
    left_out: tuple[str, ...]

    def row(self, row: OrganizationOwned) -> dict[str, Any]:
        return {column: plain(getattr(row, column)) for column in self.columns}


def plain(value: Any) -> Any:
    """As JSON has it; times in UTC."""
    return value.isoformat() if isinstance(value, datetime) else value


def exported_tables() -> list[ExportedTable]:
    """By name."""
    return sorted(_tables(), key=lambda table: table.name)


def _tables() -> Iterator[ExportedTable]:
    for mapper in Base.registry.mappers:
        model = mapper.class_
        if issubclass(model, OrganizationOwned) and mapper.local_table.name not in LEFT_OUT:  # type: ignore[attr-defined]
            yield _table(model)


def _table(model: type[OrganizationOwned]) -> ExportedTable:
    mapper = inspect(model)
    kept: list[str] = []
    left: list[str] = []
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        named_so = _SECRET.search(column.name) and f"{column.table.name}.{column.name}" not in _PLAIN
        secret = isinstance(column.type, LargeBinary) or named_so
        (left if secret else kept).append(attribute.key)
    return ExportedTable(model, mapper.local_table.name, tuple(kept), tuple(left))


async def rows_of(scope: Scope, table: ExportedTable) -> AsyncIterator[list[dict[str, Any]]]:
    """Page by page, in the order of ids."""
    after = ""
    while True:
        statement = scope.select(table.model).where(table.model.id > after)
        rows = await scope.all(statement.order_by(table.model.id).limit(PAGE))
        if not rows:
            return
        after = rows[-1].id
        yield [table.row(row) for row in rows]
        # A hundred thousand rows are not kept in memory.
        scope.session.expunge_all()
