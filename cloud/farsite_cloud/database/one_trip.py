"""SQLite's driver without trips where there need be none.

aiosqlite goes to its thread and back for each of cursor, execute, fetch and close. Most statements take less time than
one trip, and for each row the thread waits for the interpreter that the loop keeps busy. So what only reads is run where
it is asked for: readers wait for nobody (WAL). One that takes longer than `MOMENT` is broken off and run in the
thread, in one trip, as is what writes more than a few rows; for a while it goes there at once. What a statement gives
is small: every row is wanted anyhow.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util import await_only

MOMENT = 0.005
"""Seconds of work for which a statement may keep the loop waiting."""
_STALLED = 4 * MOMENT
"""Seconds in which it does not get that far: the disk is slow, or others have the processor."""
WHILE = 30.0
"""Seconds for which a statement that took longer is taken for a long one."""
_MOST_LONG = 200
_FEW_VALUES = 100
_STEPS = 2000
"""Of SQLite's machine between two looks at the time: well under a millisecond."""


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
    cursor = connection.cursor()
    try:
        if many:
            cursor.executemany(statement, values)
        else:
            cursor.execute(statement, values or ())
        return _Done(cursor)
    finally:
        cursor.close()


class _Long:
    """Statements that took long a while ago."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, statement: str) -> None:
        if len(self._until) >= _MOST_LONG:
            self._until.clear()
        self._until[statement] = time.monotonic() + WHILE

    def __contains__(self, statement: str) -> bool:
        until = self._until.get(statement)
        return until is not None and time.monotonic() < until


def _run_for_a_moment(
    connection: sqlite3.Connection, statement: str, values: Any, long: _Long
) -> _Done | None:
    """None when it takes longer."""
    until, latest = time.thread_time() + MOMENT, time.perf_counter() + _STALLED
    connection.set_progress_handler(
        lambda: time.thread_time() > until or time.perf_counter() > latest, _STEPS
    )
    try:
        return _run(connection, statement, values, many=False)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)
        # What an index of texts does is one step.
        if time.thread_time() > until:
            long.add(statement)


def is_small(statement: str, values: Sequence[Any]) -> bool:
    """It writes a few rows, which are told or found by their key. Broken off it would take the transaction with it."""
    if statement.startswith("INSERT INTO "):
        return " VALUES (" in statement and len(values) <= _FEW_VALUES
    return statement.startswith("UPDATE ") and statement.endswith(".id = ?")


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()
    _awaitable_cursor_close = False

    def _make_new_cursor(self, connection: Any) -> Any:
        return _Done()

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        here: Any = self._adapt_connection
        if here.idle and (done := self._here(here, operation, parameters)) is not None:
            return self._take(done)
        return super().execute(operation, parameters)

    def _here(self, here: Any, operation: str, parameters: Any) -> _Done | None:
        """None for what may take long, or turned out to."""
        try:
            if operation.startswith("SELECT"):
                long = here.long
                if operation in long:
                    return None
                return _run_for_a_moment(here.database, operation, parameters, long)
            if not here.reading and is_small(operation, parameters or ()):
                return _run(here.database, operation, parameters, many=False)
        except Exception as error:
            here._handle_exception(error)
        return None

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        return await self._trip(operation, parameters, many=False)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        return await self._trip(operation, seq_of_parameters, many=True)

    async def _trip(self, statement: str, values: Any, *, many: bool) -> Any:
        here: Any = self._adapt_connection
        async with here._execute_mutex:
            return self._take(await here.in_thread(_run, here.database, statement, values, many))

    def _take(self, done: _Done) -> _Done:
        self._cursor: Any = done
        self._rows = collections.deque(done.rows)
        return done


class OneTripConnection(AsyncAdapt_aiosqlite_connection):
    """`reading`: nothing in its transaction writes."""

    __slots__ = ("_done", "_sent", "_turn", "long", "reading")
    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any, long: _Long) -> None:
        super().__init__(dbapi, connection)
        self.long = long
        self.reading = False
        self._turn: asyncio.Lock | None = None
        # Each is counted by one side alone: the loop, and the thread.
        self._sent = self._done = 0

    @property
    def database(self) -> sqlite3.Connection:
        return self._connection._conn  # type: ignore[no-any-return]

    @property
    def idle(self) -> bool:
        """Its thread has nothing to do: not even for somebody who was cancelled and does not wait for it any longer."""
        return self._sent == self._done

    async def in_thread(self, work: Any, *arguments: Any) -> Any:
        self._sent += 1
        return await self._connection._execute(self._there, work, *arguments)

    def _there(self, work: Any, *arguments: Any) -> Any:
        try:
            return work(*arguments)
        finally:
            self._done += 1

    def begin_reading(self) -> None:
        """It takes no lock yet."""
        self.reading = True
        if self.idle:
            self.database.execute("BEGIN").close()
        else:
            self.execute("BEGIN")

    def commit(self) -> None:
        if self.reading and self.idle and self._connection._connection:
            self.database.commit()
        else:
            super().commit()
            self.end_turn()

    def rollback(self) -> None:
        if self.reading and self.idle and self._connection._connection:
            self.database.rollback()
            return
        try:
            super().rollback()
        finally:
            self.end_turn()

    def take_turn(self, turns: asyncio.Lock, patience: float) -> None:
        """To be the one that writes, until the end of its transaction.

        Writers of this process go in the order they came, which SQLite does not see to: it has each look again after
        pauses, and under load some never look at the right moment. Whose turn does not come in time tries all the same.
        """
        self.reading = False
        await_only(self._take_turn(turns, patience))

    async def _take_turn(self, turns: asyncio.Lock, patience: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await turns.acquire()
                self._turn = turns

    def end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.end_turn()

    def terminate(self) -> None:
        try:
            super().terminate()
        finally:
            self.end_turn()


class OneTripDriver(AsyncAdapt_aiosqlite_dbapi):
    """The `module` of an engine."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)
        self._long = _Long()

    def connect(self, *arg: Any, **kw: Any) -> AsyncAdapt_aiosqlite_connection:
        return OneTripConnection(self, super().connect(*arg, **kw)._connection, self._long)
