"""Bringing the database's schema to this release's, or back."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database.connection import Database
from farsite_cloud.database.failures import busy, storage_error
from farsite_cloud.database.moved import check_not_moved
from farsite_cloud.database.postgres import PATIENT
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MIGRATIONS = Path(__file__).parent.parent / "migrations"
HEAD = "head"
EMPTY = "base"
# Any number that no other program locks in this database.
_TURN = 0x66617273697465
_LOCK_SECONDS = 10


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@cache
def _scripts() -> ScriptDirectory:
    """Read once: they are this release's."""
    return ScriptDirectory.from_config(_config())


def revisions() -> list[str]:
    """Of all releases, the oldest first."""
    return [script.revision for script in _scripts().walk_revisions()][::-1]


async def upgrade(database: Database, revision: str = HEAD) -> None:
    """One transaction: all of it or nothing. Raises `storage_failed` for a newer release's database."""

    def run(connection: Connection) -> None:
        current = _check_known(connection)
        if current != _scripts().as_revision_number(revision):
            _run(connection, command.upgrade, revision)

    await _in_transaction(database, run)


async def prepare(session: AsyncSession) -> None:
    """An empty database gets this release's tables as part of a unit of work, after `wait_turn`.

    Raises `conflict` for one that holds another program's.
    """

    def run(connection: Connection) -> None:
        found = set(inspect(connection).get_table_names()) - {"alembic_version"}
        if found and _check_known(connection) is None:
            detail = f"It holds tables of another program ({', '.join(sorted(found))[:200]}). Name an empty database."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        _run(connection, command.upgrade, HEAD)

    await (await session.connection()).run_sync(run)


async def require_current(session: AsyncSession) -> str:
    """The revision, when it is this release's. Raises `not_found` without a cloud's tables, `conflict` for an earlier
    release's, `storage_failed` for a newer one's."""
    current = await (await session.connection()).run_sync(_check_known)
    if current is None:
        raise FarsiteError(ErrorCode.NOT_FOUND, "There is no cloud in the database that the settings name.")
    if current != (head := _scripts().get_current_head()):
        detail = (
            f"The database has schema {current}, this release's is {head}: run farsite cloud migrate first."
        )
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    return current


async def downgrade(database: Database, revision: str) -> None:
    await _in_transaction(database, lambda connection: _run(connection, command.downgrade, revision))


async def revision_of(database: Database) -> str | None:
    async with database.engine.connect() as connection:
        return await connection.run_sync(_current)


async def check_schema(database: Database) -> str | None:
    """What is to be said about a database that is sound. Raises `storage_failed` for one that is damaged or newer."""

    def run(connection: Connection) -> str | None:
        found = _quick_check(connection)
        if found:
            detail = f"The database is damaged ({'; '.join(found)[:200]})."
            raise FarsiteError(ErrorCode.STORAGE_FAILED, detail)
        current, head = _check_known(connection), _scripts().get_current_head()
        return None if current == head else f"it has schema {current}, this release's is {head}"

    try:
        async with database.engine.connect() as connection:
            return await connection.run_sync(run)
    except DBAPIError as error:
        raise storage_error(error) from error


def _quick_check(connection: Connection) -> list[str]:
    """SQLite's own word on its file; servers look after theirs."""
    if connection.dialect.name != "sqlite":
        return []
    found = connection.exec_driver_sql("PRAGMA quick_check(5)").scalars().all()
    return [str(one) for one in found if one != "ok"]


async def _in_transaction(database: Database, run: object) -> None:
    engine = database.engine.execution_options(farsite_writing=True, **{PATIENT: True})
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_take_turn)
            await connection.run_sync(run)  # type: ignore[arg-type]
    except DBAPIError as error:
        raise storage_error(error) from error
    except PoolTimeout:
        raise busy() from None


async def wait_turn(session: AsyncSession) -> None:
    """To be called first in a unit of work that prepares the database; its turn ends with it."""
    connection = await session.connection(execution_options={PATIENT: True})
    await connection.run_sync(_take_turn)


def _take_turn(connection: Connection) -> None:
    """Of several processes that start on one PostgreSQL one prepares it; the others wait until it has."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
        # An older release may be running: a table that it uses for long is not waited for, with everybody behind.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")


def _run(connection: Connection, action: object, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    action(config, revision)  # type: ignore[operator]


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check_known(connection: Connection) -> str | None:
    """The schema that there is."""
    current = _current(connection)
    if current is not None and current not in revisions():
        raise FarsiteError(
            ErrorCode.STORAGE_FAILED,
            f"The database is of a newer release (schema {current}). Start that release, or restore a backup.",
        )
    check_not_moved(connection)
    return current
