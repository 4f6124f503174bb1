"""Nobody else at a database while it is moved.

A cloud on SQLite holds its data folder. On PostgreSQL there is no such place: processes are known by their connections,
those that start wait for their turn, and tables that are copied take no writing.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database.postgres import APPLICATION
from farsite_cloud.models import metadata

PATIENCE = 3.0
"""Seconds in which the connections of a process that ended are gone."""
_LOOK = 0.1
_OTHERS = text(
    "SELECT client_addr::text FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = :name AND pid <> pg_backend_pid()"
)


def _is_server(session: AsyncSession) -> bool:
    return session.get_bind().dialect.name == "postgresql"


async def others_at(session: AsyncSession, which: str) -> str | None:
    """What is to be said when processes of ours are connected, once those that end have gone."""
    if not _is_server(session):
        return None
    found: list[str | None] = []
    for _ in range(int(PATIENCE / _LOOK)):
        # Within a transaction the first look would be answered again.
        await session.execute(text("SELECT pg_stat_clear_snapshot()"))
        found = list(await session.scalars(_OTHERS, {"name": APPLICATION}))
        if not found:
            return None
        await asyncio.sleep(_LOOK)
    where = ", ".join(sorted({one or "this machine" for one in found}))
    return f"A cloud runs on the {which} database ({len(found)} connections from {where[:200]}). Stop all its processes."


async def take_time(session: AsyncSession) -> None:
    """For as long as this unit of work lasts it may wait for the other database."""
    if _is_server(session):
        await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


async def hold_still(session: AsyncSession) -> None:
    """From now on nobody writes. On SQLite a writing unit of work sees to it by itself."""
    if _is_server(session):
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        await session.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
