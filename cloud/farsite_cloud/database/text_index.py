"""An index of parts of texts: FTS5 with trigrams on SQLite, pg_trgm on PostgreSQL, or none (`0009_search.py`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, String, inspect, literal
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

SHORTEST = 3
"""Letters of a word that it finds."""
_SPECIAL = re.compile(r"([\\%_])")
_known: WeakKeyDictionary[object, dict[str, bool]] = WeakKeyDictionary()


class in_index(FunctionElement[Any]):
    """Clauses: the column, a query of FTS5, and a pattern for each word."""

    # No boolean: for SQLite that would be compared with 1, and the index not be used.
    type = NullType()
    inherit_cache = True


@compiles(in_index)
def _in_index(element: Any, compiler: Any, **options: Any) -> str:
    column, query, *patterns = element.clauses
    if compiler.dialect.name == "postgresql":
        text = compiler.process(column, **options)
        return " AND ".join(f"{text} LIKE {compiler.process(one, **options)}" for one in patterns)
    name = column.table.name
    match = compiler.process(query, **options)
    found = f"SELECT rowid FROM {name}_text WHERE {name}_text MATCH {match}"  # noqa: S608  # names of our own
    return f"{name}.rowid IN ({found})"


def has_words(column: Any, words: Sequence[str]) -> ColumnElement[bool]:
    """Rows that may have all these words, each of `SHORTEST` letters or more, and all that have them."""
    patterns = [literal(f"%{_SPECIAL.sub(_escape, word)}%", String) for word in words]
    return in_index(column, literal(query_of(words), String), *patterns)


def query_of(words: Sequence[str]) -> str:
    """Each part as a string of its own: https://sqlite.org/fts5.html#fts5_strings"""
    parts = {word[at : at + SHORTEST] for word in words for at in range(len(word) - SHORTEST + 1)}
    return " AND ".join('"' + part.replace('"', '""') + '"' for part in sorted(parts))


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


async def is_indexed(session: AsyncSession, table: str) -> bool:
    """Whether there is such an index on a table; looked for once."""
    known = _known.setdefault(session.get_bind().engine.pool, {})
    if table not in known:
        known[table] = await session.run_sync(_look, table)
    return known[table]


def _look(session: Session, table: str) -> bool:
    found = inspect(session.connection())
    if session.get_bind().dialect.name == "sqlite":
        return found.has_table(f"{table}_text")
    return any(index["name"] == f"ix_{table}_search" for index in found.get_indexes(table))
