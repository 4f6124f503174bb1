"""How much room the database takes, and its tables: for who runs it."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

_POSTGRESQL = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
"""
_SQLITE = """
SELECT master.tbl_name, SUM(pages.pgsize) FROM dbstat AS pages JOIN sqlite_master AS master ON master.name = pages.name
GROUP BY master.tbl_name
"""


async def database_bytes(session: AsyncSession) -> int:
    """The main file, or the database on its server."""
    if session.get_bind().dialect.name == "postgresql":
        return int((await session.scalar(text("SELECT pg_database_size(current_database())"))) or 0)
    pages = (await session.scalar(text("PRAGMA page_count"))) or 0
    return int(pages) * int((await session.scalar(text("PRAGMA page_size"))) or 0)


async def table_bytes(session: AsyncSession) -> dict[str, int]:
    """With their indexes, the largest first; empty where SQLite was built without `dbstat`."""
    statement = _POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _SQLITE
    try:
        rows = (await session.execute(text(statement))).all()
    except OperationalError:
        return {}
    found = sorted(((str(name), int(size)) for name, size in rows), key=lambda one: (-one[1], one[0]))
    return dict(found)
