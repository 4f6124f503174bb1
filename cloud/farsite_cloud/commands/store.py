"""The database of a cloud, for commands beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from farsite_cloud.database import Database
from farsite_cloud.database.connection import FILE, sqlite_url
from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


@asynccontextmanager
async def stored(settings: CloudSettings) -> AsyncIterator[Database]:
    """Raises `not_found` where no cloud has been."""
    if not (settings.data_dir / FILE).exists():
        detail = f"There is no cloud in {settings.data_dir}. Name its folder with --data-dir."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    database = Database(sqlite_url(settings.data_dir))
    try:
        yield database
    finally:
        await database.aclose()
