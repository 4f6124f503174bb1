"""Bringing the database's schema to this release's, or back."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from farsite_cloud.database.connection import Database
from farsite_cloud.database.failures import storage_error
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MIGRATIONS = Path(__file__).parent.parent / "migrations"
HEAD = "head"
EMPTY = "base"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


async def upgrade(database: Database, revision: str = HEAD) -> None:
    """One transaction: all of it or nothing. Raises `storage_failed` for a newer release's database."""

    def run(connection: Connection) -> None:
        _check_known(connection)
        _run(connection, command.upgrade, revision)

    await _in_transaction(database, run)


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
        _check_known(connection)
        current, head = _current(connection), ScriptDirectory.from_config(_config()).get_current_head()
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
    try:
        async with database.engine.execution_options(farsite_writing=True).begin() as connection:
            await connection.run_sync(run)  # type: ignore[arg-type]
    except DBAPIError as error:
        raise storage_error(error) from error


def _run(connection: Connection, action: object, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    action(config, revision)  # type: ignore[operator]


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check_known(connection: Connection) -> None:
    current = _current(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise FarsiteError(
            ErrorCode.STORAGE_FAILED,
            f"The database is of a newer release (schema {current}). Start that release, or restore a backup.",
        )
