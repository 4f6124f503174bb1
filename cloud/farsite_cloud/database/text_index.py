"""An index of parts of texts: FTS5 with trigrams on SQLite, pg_trgm on PostgreSQL, or none (`0011_search.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from farsite_cloud.database.kept import named, named_list, numbered

SHORTEST = 3
"""Letters of a word that it finds."""
_QUERY, _PATTERN = "words_query", "words_pattern"
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


def has_words(column: Any, count: int) -> ColumnElement[bool]:
    """Rows that may have so many words (`of_words`), each of `SHORTEST` letters or more, and all that have them."""
    return in_index(column, named(_QUERY), *named_list(_PATTERN, count))


def of_words(words: Sequence[str], parts: Sequence[str]) -> dict[str, str]:
    """What `has_words` looks for. `parts` are some of `parts_of` the words, one of each at least."""
    patterns = [f"%{_SPECIAL.sub(_escape, word)}%" for word in words]
    return {_QUERY: _query(parts)} | numbered(_PATTERN, patterns, len(patterns))


def parts_of(word: str) -> list[str]:
    """As many as cover the word: more of them find hardly less, and each is a list to go through."""
    return [word[at : at + SHORTEST] for at in _starts(len(word))]


def _query(parts: Sequence[str]) -> str:
    """Each part as a string of its own: https://sqlite.org/fts5.html#fts5_strings"""
    return " AND ".join('"' + part.replace('"', '""') + '"' for part in sorted(set(parts)))


def _starts(length: int) -> Iterator[int]:
    yield from range(0, length - SHORTEST, SHORTEST)
    yield length - SHORTEST


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
