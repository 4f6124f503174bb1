"""The database of a cloud, for commands beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from farsite_cloud.database import Database
from farsite_cloud.database.moved import refuse_moved
from farsite_cloud.database.opening import database_exists, open_database
from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


@asynccontextmanager
async def stored(settings: CloudSettings) -> AsyncIterator[Database]:
    """Raises `not_found` where no cloud has been."""
    if not database_exists(settings):
        detail = f"There is no cloud in {settings.data_dir}. Name its folder with --data-dir."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    database = open_database(settings)
    try:
        async with database.reading() as session:
            await refuse_moved(session)
        yield database
    finally:
        await database.aclose()
