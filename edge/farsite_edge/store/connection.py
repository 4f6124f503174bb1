"""One SQLite connection on a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

T = TypeVar("T")
Act = Callable[[sqlite3.Connection], T]


class ThreadConnection:
    """`open` first. What is asked is done in its order, and done even when nobody waits for it any more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Raises `sqlite3.Error`."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edge-database")
        self._connection = await self._do(self._connect)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection

    async def run(self, act: Act[T]) -> T:
        """Raises what `act` raises; `storage_failed` when it is closed."""
        connection = self._connection
        if connection is None:
            raise FarsiteError(ErrorCode.STORAGE_FAILED, "The edge host's storage is closed.")
        return await self._do(lambda: act(connection))

    async def execute(self, sql: str, values: Any = ()) -> int:
        """How many rows it changed."""
        return await self.run(lambda connection: connection.execute(sql, values).rowcount)

    async def _do(self, act: Callable[[], T]) -> T:
        assert self._thread is not None, "open() comes first"
        # A statement somebody gave up may have run or not: it runs, so that what comes behind it knows.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, act))

    async def close(self) -> None:
        """Idempotent."""
        connection, self._connection = self._connection, None
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if connection is not None:
            thread.submit(connection.close)
        await asyncio.get_running_loop().run_in_executor(None, thread.shutdown)
