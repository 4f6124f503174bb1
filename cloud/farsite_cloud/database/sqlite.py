"""The embedded database: one file, many readers, one writer at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from farsite_cloud.database.one_trip import OneTripDriver
from farsite_cloud.database.postgres import PATIENT

FILE = "farsite.db"
BUSY_TIMEOUT_MS = 5_000
PREPARED_WITHIN_MS = 60_000
"""For which a process waits that finds another one preparing the database: all steps of all releases take seconds."""
PATIENCE = 2.5
"""Seconds for which writers of this process wait for each other; other processes' are waited for afterwards."""
CONNECTIONS = 15
"""They stay: each new one reads the whole schema, and prepares all statements anew."""
STATEMENTS = 512
CACHE_KIB = 8192
"""Of pages that a connection remembers: with 2 MiB much of what 100,000 devices ask for took twice as long."""
POOL_TIMEOUT = 5.0


def sqlite_url(data_dir: Path) -> URL:
    """Of a file that only its owner can read; SQLite gives its side files the same mode."""
    (data_dir / FILE).touch(mode=0o600)
    return URL.create("sqlite+aiosqlite", database=str(data_dir / FILE))


def sqlite_engine(url: URL | str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        module=OneTripDriver(),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        # The one that was used last knows the most: what others wrote empties the memory of each.
        pool_use_lifo=True,
        connect_args={"cached_statements": STATEMENTS},
        json_deserializer=from_json,
    )
    turns = asyncio.Lock()

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        # The driver's own transaction handling is off: it would start transactions too late to be whole.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        # A reader that turns writer would fail when another wrote in between; writers take their turn at once.
        here: Any = connection.connection.dbapi_connection
        if connection.get_execution_options().get("farsite_writing", False):
            here.take_turn(turns, PATIENCE)
            try:
                _begin(connection)
            except BaseException:
                here.end_turn()
                raise
        else:
            here.begin_reading()

    return engine


def _begin(connection: Connection) -> None:
    patient = connection.get_execution_options().get(PATIENT, False)
    if patient:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {PREPARED_WITHIN_MS}")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        if patient:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
