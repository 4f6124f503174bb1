"""The database that the settings name."""

from __future__ import annotations

from urllib.parse import urlsplit

from farsite_cloud.database.connection import Database
from farsite_cloud.database.postgres import PostgresOptions
from farsite_cloud.database.sqlite import FILE, sqlite_url
from farsite_cloud.settings import CloudSettings


def open_database(settings: CloudSettings) -> Database:
    """PostgreSQL where `database` says so, else a file in the data folder, which must be there."""
    if settings.database is None:
        return Database(sqlite_url(settings.data_dir))
    options = PostgresOptions(pool=settings.database_pool, timeout=settings.database_timeout)
    return Database(settings.database.get_secret_value(), options)


def database_exists(settings: CloudSettings) -> bool:
    """Whether a cloud may have run with these settings; of a server only it can tell."""
    return settings.database is not None or (settings.data_dir / FILE).exists()


def described(settings: CloudSettings) -> str:
    """For people, without the password."""
    if settings.database is None:
        return str(settings.data_dir / FILE)
    parts = urlsplit(settings.database.get_secret_value())
    where = parts.netloc.rpartition("@")[2] or "this machine"
    return f"PostgreSQL at {where}{parts.path}"
