"""The edge host's SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from farsite_edge.store.connection import Act, ThreadConnection
from farsite_edge.store.failures import StorageProblem, damaged, storage_errors
from farsite_edge.store.group import Unit, commit_together
from farsite_edge.store.health import StorageHealth
from farsite_edge.store.steps import STEPS, statements
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

FILE = "edge.db"
PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000", "secure_delete = ON")
"""What is deleted is overwritten: a password that is forgotten is in no free page either."""
Values = Sequence[Any]
T = TypeVar("T")


class Database:
    """One connection; statements outside a transaction commit by themselves.

    Every method raises `FarsiteError` (`disk_full`, `storage_failed`) and then has changed nothing.
    """

    def __init__(self, path: Path, *, suspect: bool = False) -> None:
        self.path = path
        self._suspect = suspect
        self.health = StorageHealth()
        self._connection = ThreadConnection(path)
        self._writing = asyncio.Lock()
        self._waiting: list[Unit] = []

    async def __aenter__(self) -> Self:
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Before SQLite makes it for everybody to read; its side files get the same mode.
            self.path.touch(mode=0o600)
            await self._connection.open()
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
        await self._connection.close()

    async def fetch(self, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        with self._watched():
            return await self._connection.run(lambda connection: connection.execute(sql, values).fetchall())

    async def execute(self, sql: str, values: Values = ()) -> None:
        await self.write(lambda connection: connection.execute(sql, values))

    async def write(self, act: Act[T]) -> T:
        """All of `act` or nothing. It runs in the connection's thread; writes that wait at the same time share
        a commit."""
        unit = Unit(act)
        self._waiting.append(unit)
        with self._watched():
            try:
                async with self._writing:
                    if not unit.ended:
                        await self._commit(unit)
            except asyncio.CancelledError:
                if unit in self._waiting:
                    self._waiting.remove(unit)
                raise
            result: T = unit.result()
        self.health.fine()
        return result

    async def _commit(self, unit: Unit) -> None:
        units, self._waiting = self._waiting, []
        if unit not in units:  # whoever took it along was cancelled: it may be done already
            units.append(unit)
        await self._connection.run(lambda connection: commit_together(connection, units))

    async def empty_log(self) -> None:
        """What was written goes into the file itself, and the write-ahead log holds nothing of before."""
        await self.fetch("PRAGMA wal_checkpoint(TRUNCATE)")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """All or nothing; one at a time. For what needs to wait in between; else `write` costs less."""
        async with self._writing:
            with self._watched():
                try:
                    await self._connection.execute("BEGIN IMMEDIATE")
                    yield Transaction(self._connection)
                    await self._connection.execute("COMMIT")
                except BaseException:
                    await self._roll_back()
                    raise
        self.health.fine()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            with storage_errors(self.path):
                yield
        except StorageProblem as problem:
            self.health.seen(problem)
            raise

    async def _roll_back(self) -> None:
        # A full disk or I/O error may have rolled back already (https://www.sqlite.org/lang_transaction.html), and
        # whoever was cancelled while a statement waits in the queue does not know whether it will run: the
        # ROLLBACK goes behind it. What it says must not hide the reason for it, a cancellation least of all.
        with suppress(sqlite3.Error, FarsiteError):
            await self._connection.execute("ROLLBACK")

    async def _prepare(self) -> None:
        with storage_errors(self.path):
            for pragma in PRAGMAS:
                await self._connection.execute(f"PRAGMA {pragma}")
        await self._check()
        await self._upgrade()

    async def _check(self) -> None:
        # The quick one does not compare indexes with their tables.
        rows = await self.fetch("PRAGMA integrity_check(5)" if self._suspect else "PRAGMA quick_check(5)")
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

    def __init__(self, connection: ThreadConnection) -> None:
        self._connection = connection

    async def execute(self, sql: str, values: Values = ()) -> int:
        """How many rows it changed."""
        return await self._connection.execute(sql, values)

    async def execute_many(self, sql: str, rows: Iterable[Values]) -> None:
        await self._connection.run(lambda connection: connection.executemany(sql, rows))

    async def fetch(self, sql: str, values: Values = ()) -> list[sqlite3.Row]:
        return await self._connection.run(lambda connection: connection.execute(sql, values).fetchall())

    async def script(self, script: str) -> None:
        # executescript() would commit the transaction it is in.
        for statement in statements(script):
            await self._connection.execute(statement)
