"""What one database keeps and the other does not take: SQLite looks neither at lengths nor at null characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_INTEGER, _BIG = 2**31, 2**63
_VALUE = "22"
"""Beginning of PostgreSQL's states about values: https://www.postgresql.org/docs/current/errcodes-appendix.html"""


def misfit(column: sa.Column[Any], value: Any) -> str | None:
    """Why PostgreSQL does not take a value, if it does not."""
    kind = column.type
    if isinstance(value, str) and "\0" in value:
        return "holds a null character"
    if isinstance(kind, sa.String) and kind.length and isinstance(value, str) and len(value) > kind.length:
        return f"has {len(value)} characters, {kind.length} are allowed"
    if isinstance(kind, sa.Integer) and isinstance(value, int):
        most = _BIG if isinstance(kind, sa.BigInteger) else _INTEGER
        if not -most <= value < most:
            return f"is {value}, which is too large"
    return None


def refused(table: sa.Table, rows: Sequence[tuple[Any, ...]], error: DBAPIError) -> FarsiteError | None:
    """None when it is not about a value."""
    if error.connection_invalidated:
        return None
    for row in rows:
        for column, value in zip(table.c, row, strict=True):
            if (why := misfit(column, value)) is not None:
                key = ", ".join(str(row[list(table.c).index(one)]) for one in table.primary_key.columns)
                return _refusal(f"{column.name} of row {key} in {table.name} {why}.")
    if str(getattr(error.orig, "sqlstate", None) or "").startswith(_VALUE):
        return _refusal(f"A row of {table.name} holds a value of another kind ({type(error.orig).__name__}).")
    return None


def _refusal(what: str) -> FarsiteError:
    detail = (
        f"PostgreSQL does not take the data as it is: {what} Correct it and try again. Nothing was moved."
    )
    return FarsiteError(ErrorCode.CONFLICT, detail)
