"""The edge host's SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import aiosqlite

from farsite_edge.store.failures import damaged, storage_errors
from farsite_edge.store.steps import STEPS
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

FILE = "edge.db"
Values = Sequence[Any]


class Database:
    """One connection; statements outside a transaction commit by themselves.

    Every method raises `FarsiteError` (`disk_full`, `storage_failed`) and then has changed nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: aiosqlite.Connection | None = None
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Before SQLite makes it for everybody to read; its side files get the same mode.
            self.path.touch(mode=0o600)
            self._connection = await aiosqlite.connect(self.path, isolation_level=None)
        try:
            await self._prepare()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def fetch(self, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        with storage_errors(self.path):
            return list(await self._open.execute_fetchall(sql, values))

    async def execute(self, sql: str, values: Values = ()) -> None:
        async with self.transaction() as transaction:
            await transaction.execute(sql, values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """All or nothing; one at a time."""
        async with self._writing:
            with storage_errors(self.path):
                try:
                    await self._open.execute("BEGIN IMMEDIATE")
                    yield Transaction(self._open)
                    await self._open.execute("COMMIT")
                except BaseException:
                    await self._roll_back()
                    raise

    async def _roll_back(self) -> None:
        # A full disk or I/O error may have rolled back already (https://www.sqlite.org/lang_transaction.html), and
        # whoever was cancelled while a statement waits in the queue does not know whether it will run: the
        # ROLLBACK goes behind it. What it says must not hide the reason for it, a cancellation least of all.
        with suppress(sqlite3.Error, ValueError, FarsiteError):
            await self._open.execute("ROLLBACK")

    @property
    def _open(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise FarsiteError(ErrorCode.STORAGE_FAILED, "The edge host's storage is closed.")
        return self._connection

    async def _prepare(self) -> None:
        with storage_errors(self.path):
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
                await self._open.execute(f"PRAGMA {pragma}")
            self._open.row_factory = sqlite3.Row
        await self._check()
        await self._upgrade()

    async def _check(self) -> None:
        rows = await self.fetch("PRAGMA quick_check(5)")
        if [row[0] for row in rows] != ["ok"]:
            raise damaged(self.path, "; ".join(str(row[0]) for row in rows))

    async def _upgrade(self) -> None:
        version = (await self.fetch("PRAGMA user_version"))[0][0]
        if version > len(STEPS):
            raise FarsiteError(
                ErrorCode.STORAGE_FAILED,
                f"{self.path} was written by a newer Farsite (schema {version}, known: {len(STEPS)}). "
                "Update Farsite on this machine.",
            )
        for number in range(version, len(STEPS)):
            async with self.transaction() as transaction:
                await transaction.script(STEPS[number])
                await transaction.execute(f"PRAGMA user_version = {number + 1}")


class Transaction:
    """What may be done inside `Database.transaction`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def execute(self, sql: str, values: Values = ()) -> int:
        """How many rows it changed."""
        async with self._connection.execute(sql, values) as cursor:
            return cursor.rowcount

    async def execute_many(self, sql: str, rows: Iterable[Values]) -> None:
        await self._connection.executemany(sql, rows)

    async def fetch(self, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        return list(await self._connection.execute_fetchall(sql, values))

    async def script(self, script: str) -> None:
        # executescript() would commit the transaction it is in.
        for statement in _statements(script):
            await self._connection.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """One by one; a trigger holds statements of its own."""
    statement = ""
    for part in script.split(";"):
        statement += part
        if statement.strip() and sqlite3.complete_statement(f"{statement};"):
            yield statement
            statement = ""
        elif statement.strip():
            statement += ";"
