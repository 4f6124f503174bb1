"""Units of work: one transaction, committed when its block ends well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from farsite_cloud.database.failures import busy, conflict, storage_error
from farsite_cloud.database.postgres import PATIENT, PostgresOptions, postgres_engine
from farsite_cloud.database.sqlite import sqlite_engine
from farsite_cloud.database.watching import Watcher, touched, watched_session

_LAST = "farsite_last"
LastStep = Callable[[AsyncSession], Awaitable[None]]


def at_the_end(session: AsyncSession, step: LastStep) -> None:
    """Do this last in the unit of work, once, before it is committed: what it locks is held for a moment only."""
    steps: list[LastStep] = session.info.setdefault(_LAST, [])
    if step not in steps:
        steps.append(step)


class Database:
    """Call `aclose` when done. `writing` and `reading` are the only ways to a session.

    `url`: of an SQLite file (`sqlite_url`), or `postgresql://…`, to which `options` belong.
    """

    def __init__(self, url: URL | str, options: PostgresOptions | None = None) -> None:
        self.engine = _engine(url, options or PostgresOptions())
        self._watcher: Watcher | None = None
        self._readers = async_sessionmaker(self._reading_engine(), expire_on_commit=False)
        self._snapshots = async_sessionmaker(self._snapshot_engine(), expire_on_commit=False)
        self._open_writers(Session)

    def _open_writers(self, kind: type[Session]) -> None:
        writer = self.engine.execution_options(farsite_writing=True)
        patient = writer.execution_options(**{PATIENT: True})
        self._writers = async_sessionmaker(writer, expire_on_commit=False, sync_session_class=kind)
        self._patient = async_sessionmaker(patient, expire_on_commit=False, sync_session_class=kind)

    def watch(self, tables: frozenset[str], watcher: Watcher) -> None:
        """From now on `watcher` is told when rows of these tables are changed here."""
        self._watcher = watcher
        self._open_writers(watched_session(tables, watcher))

    def _reading_engine(self) -> AsyncEngine:
        """On PostgreSQL each statement sees what is committed before it, with a transaction around them or without: so
        the trips to begin and end one are saved."""
        if self.kind == "sqlite":
            return self.engine
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def _snapshot_engine(self) -> AsyncEngine:
        """SQLite's readers see one state of the database by themselves."""
        patient = self.engine.execution_options(**{PATIENT: True})
        if self.kind == "sqlite":
            return patient
        return patient.execution_options(isolation_level="REPEATABLE READ")

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @asynccontextmanager
    async def writing(self, *, patient: bool = False) -> AsyncIterator[AsyncSession]:
        """`patient`: its statements may take long, as nobody waits for them."""
        session: AsyncSession | None = None
        try:
            async with _unit_of_work(self._patient if patient else self._writers) as session:
                yield session
        finally:
            if session is not None and self._watcher is not None and touched(session.sync_session):
                await self._watcher.tell()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Reading the database as it is at the first statement, for as long as it takes."""
        async with _unit_of_work(self._snapshots) as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """It is not for writing: nothing of it is kept, and on PostgreSQL nothing holds its statements together."""
        session = self._readers()
        with _told_as_ours():
            try:
                yield session
            finally:
                # Nobody who only looks up what is remembered has a connection to give back.
                if session.in_transaction():
                    await session.close()

    async def aclose(self) -> None:
        await self.engine.dispose()


def _engine(url: URL | str, options: PostgresOptions) -> AsyncEngine:
    if isinstance(url, str) and url.startswith(("postgresql:", "postgres:")):
        return postgres_engine(url, options)
    return sqlite_engine(make_url(url))


@asynccontextmanager
async def _unit_of_work(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    with _told_as_ours():
        async with sessions() as session, session.begin():
            yield session
            for step in session.info.pop(_LAST, ()):
                await step(session)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise storage_error(error) from error
    except StaleDataError:
        # What was read was removed by somebody else before it was written.
        raise conflict() from None
    except PoolTimeout:
        raise busy() from None
