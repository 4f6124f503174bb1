"""Rows of a table out of one database and into another, page by page and value by value.

Values go through Python where the databases keep them differently (times, truth values, bytes). JSON goes as the text
it is: read and written anew, an empty column could not be told from JSON's `null`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeDecorator

from farsite_cloud.moving.misfits import refused

PAGE_BYTES = 2 * 1024 * 1024
"""Of rows that are held at a time."""
FIRST_PAGE, MOST_ROWS, _GROWTH = 16, 2000, 4
_DIGESTS = 2**128

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Sum:
    """What was counted of a table. `digest`: of its rows in any order, as databases sort differently."""

    rows: int = 0
    digest: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.rows + other.rows, (self.digest + other.digest) % _DIGESTS)


@dataclass(frozen=True)
class Page:
    rows: Sequence[Row]
    sum: Sum
    size: int
    """Bytes, about."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        digest, size = 0, 0
        for row in rows:
            told = repr(row).encode("utf-8", "backslashreplace")
            size += len(told)
            digest += int.from_bytes(hashlib.blake2b(told, digest_size=16).digest())
        return cls(rows, Sum(len(rows), digest % _DIGESTS), size)


def next_length(page: Page, length: int) -> int:
    """Of the next page, in rows: as many as `PAGE_BYTES` hold when they are like those before."""
    fitting = PAGE_BYTES * max(len(page.rows), 1) // max(page.size, 1)
    return max(1, min(fitting, length * _GROWTH, MOST_ROWS))


class _Text(TypeDecorator[Any]):
    """A column of JSON that takes the text itself."""

    impl = sa.JSON
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> None:
        return None


class TableRows:
    """One table, in either database."""

    def __init__(self, table: sa.Table) -> None:
        self.table = table
        self._source, self._keys = _in_order(table)
        self._into = sa.insert(sa.table(table.name, *(sa.column(c.name, _kind(c)) for c in table.c)))

    async def count(self, session: AsyncSession) -> int:
        return int(await session.scalar(sa.select(sa.func.count()).select_from(self.table)) or 0)

    async def pages(self, session: AsyncSession) -> AsyncIterator[Page]:
        """Rows that others of the table refer to come before these."""
        length, after = FIRST_PAGE, None
        while True:
            found = (await session.execute(self._page(length, after))).all()
            page = Page.of([tuple(row)[: len(self.table.c)] for row in found])
            if found:
                yield page
            if len(found) < length:
                return
            after = tuple(found[-1])[len(self.table.c) :]
            length = next_length(page, length)

    def _page(self, length: int, after: Row | None) -> sa.Select[Any]:
        keys = [key.label(f"key_{number}") for number, key in enumerate(self._keys)]
        values = [sa.cast(c, sa.Text) if isinstance(c.type, sa.JSON) else c for c in self.table.c]
        statement = sa.select(*values, *keys).select_from(self._source).order_by(*self._keys).limit(length)
        if after is None:
            return statement
        last = [sa.literal(value, key.type) for value, key in zip(after, self._keys, strict=True)]
        return statement.where(sa.tuple_(*self._keys) > sa.tuple_(*last))

    async def add(self, session: AsyncSession, page: Page) -> None:
        """Raises `conflict` naming what the database does not take."""
        names = [column.name for column in self.table.c]
        try:
            await session.execute(self._into, [dict(zip(names, row, strict=True)) for row in page.rows])
        except DBAPIError as error:
            refusal = refused(self.table, page.rows, error)
            if refusal is None:
                raise
            raise refusal from None

    async def sum(self, session: AsyncSession) -> Sum:
        total = Sum()
        async for page in self.pages(session):
            total += page.sum
        return total


def _kind(column: sa.Column[Any]) -> Any:
    return _Text() if isinstance(column.type, sa.JSON) else column.type


def _in_order(table: sa.Table) -> tuple[sa.FromClause, list[sa.ColumnElement[Any]]]:
    """Where rows come from, and what orders them: their key; in a tree how deep they are before that."""
    parents = [key for key in table.foreign_keys if key.column.table is table]
    if not parents:
        return table, list(table.primary_key.columns)
    (parent,) = parents
    tops = sa.select(parent.column.label("place"), sa.literal(0).label("depth")).where(
        parent.parent.is_(None)
    )
    tree = tops.cte("tree", recursive=True)
    below = sa.select(parent.column, tree.c.depth + 1).where(parent.parent == tree.c.place)
    tree = tree.union_all(below)
    return table.join(tree, parent.column == tree.c.place), [tree.c.depth, tree.c.place]
