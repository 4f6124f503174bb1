"""The engine, and units of work: one transaction, committed when its block ends well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from farsite_cloud.database.failures import busy, storage_error

FILE = "farsite.db"
BUSY_TIMEOUT_MS = 10_000
POOL_TIMEOUT = 10.0
_WRITING = "farsite_writing"
_LAST = "farsite_last"
LastStep = Callable[[AsyncSession], Awaitable[None]]


def at_the_end(session: AsyncSession, step: LastStep) -> None:
    """Do this last in the unit of work, once, before it is committed: what it locks is held for a moment only."""
    steps: list[LastStep] = session.info.setdefault(_LAST, [])
    if step not in steps:
        steps.append(step)


def sqlite_url(data_dir: Path) -> URL:
    """Of a file that only its owner can read; SQLite gives its side files the same mode."""
    (data_dir / FILE).touch(mode=0o600)
    return URL.create("sqlite+aiosqlite", database=str(data_dir / FILE))


class Database:
    """Call `aclose` when done. `writing` and `reading` are the only ways to a session."""

    def __init__(self, url: URL | str) -> None:
        self.engine = create_async_engine(url, pool_timeout=POOL_TIMEOUT)
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        writer = self.engine.execution_options(**{_WRITING: True})
        self._writers = async_sessionmaker(writer, expire_on_commit=False)
        self._readers = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        async with _unit_of_work(self._writers) as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        async with _unit_of_work(self._readers) as session:
            yield session

    async def aclose(self) -> None:
        await self.engine.dispose()


@asynccontextmanager
async def _unit_of_work(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    try:
        async with sessions() as session, session.begin():
            yield session
            for step in session.info.pop(_LAST, ()):
                await step(session)
    except DBAPIError as error:
        raise storage_error(error) from error
    except PoolTimeout:
        raise busy() from None


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        # The driver's own transaction handling is off: it would start transactions too late to be whole.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        # A reader that turns writer would fail when another wrote in between; writers take their turn at once.
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
