"""`farsite cloud …`: what an operator does on the machine that holds the data."""

from __future__ import annotations

import asyncio
import json

from farsite_cloud.accounts.passwords import Passwords, new_password
from farsite_cloud.accounts.service import set_password
from farsite_cloud.api.system import description
from farsite_cloud.api.table import route_table
from farsite_cloud.clock import system_clock
from farsite_cloud.database.moved import refuse_moved
from farsite_cloud.database.opening import database_exists, open_database
from farsite_cloud.database.schema import revision_of, upgrade
from farsite_cloud.datadir import storage_failures
from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def openapi_text() -> str:
    return json.dumps(description(route_table()), indent=2)


def migrate(settings: CloudSettings) -> str | None:
    """Bring the database to this release's schema; the revision it now has."""
    return asyncio.run(_migrate(settings))


async def _migrate(settings: CloudSettings) -> str | None:
    with storage_failures(settings.data_dir):
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = open_database(settings)
        try:
            await upgrade(database)
            return await revision_of(database)
        finally:
            await database.aclose()


def reset_password(settings: CloudSettings, email: str) -> str:
    """The new password, made here. Raises `not_found`."""
    if not database_exists(settings):
        detail = f"There is no cloud in {settings.data_dir}. Name its folder with --data-dir."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    password = new_password()
    asyncio.run(_reset(settings, email, password))
    return password


async def _reset(settings: CloudSettings, email: str, password: str) -> None:
    database, passwords = open_database(settings), Passwords()
    try:
        async with database.writing() as session:
            await refuse_moved(session)
            await set_password(session, email, password, passwords, system_clock())
    finally:
        passwords.close()
        await database.aclose()
