"""SQLite's driver in one trip: aiosqlite goes to its thread and back for each of cursor, execute, fetch and close.

Most statements take less time than a trip. What a statement gives is small: every row is wanted anyhow.
"""

from __future__ import annotations

import collections
import sqlite3
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)


class _Done:
    """What is left of a cursor once its rows are read."""

    arraysize = 1

    def __init__(self, cursor: sqlite3.Cursor | None = None) -> None:
        self.description = None if cursor is None else cursor.description
        self.rows = [] if cursor is None or cursor.description is None else cursor.fetchall()
        self.rowcount = -1 if cursor is None else cursor.rowcount
        self.lastrowid = None if cursor is None else cursor.lastrowid

    def close(self) -> None:
        """It is closed already."""


def _run(connection: sqlite3.Connection, statement: str, values: Any, many: bool) -> _Done:
    """In the connection's thread."""
    cursor = connection.cursor()
    try:
        if many:
            cursor.executemany(statement, values)
        else:
            cursor.execute(statement, values or ())
        return _Done(cursor)
    finally:
        cursor.close()


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()
    _awaitable_cursor_close = False

    def _make_new_cursor(self, connection: Any) -> Any:
        return _Done()

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        return await self._trip(operation, parameters, many=False)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        return await self._trip(operation, seq_of_parameters, many=True)

    async def _trip(self, statement: str, values: Any, *, many: bool) -> Any:
        connection: Any = self._connection
        async with self._adapt_connection._execute_mutex:
            done = await connection._execute(_run, connection._conn, statement, values, many)
        self._cursor = done
        self._rows = collections.deque(done.rows)
        return done


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()
    _cursor_cls = _Cursor


class OneTripDriver(AsyncAdapt_aiosqlite_dbapi):
    """The `module` of an engine."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *arg: Any, **kw: Any) -> AsyncAdapt_aiosqlite_connection:
        return _Connection(self, super().connect(*arg, **kw)._connection)
