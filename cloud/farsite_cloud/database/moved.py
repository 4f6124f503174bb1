"""The word in a database that another one took its place: whoever starts on it by mistake would go on with what was
long ago.

A table of its own, made when it happens: no release's schema has it.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database.base import UtcDateTime
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_table = sa.Table(
    "farsite_moved",
    sa.MetaData(),
    sa.Column("target", sa.Text(), nullable=False),
    sa.Column("setting", sa.Text(), nullable=False),
    sa.Column("at", UtcDateTime(), nullable=False),
)


async def mark_moved(session: AsyncSession, target: str, setting: str, now: datetime) -> None:
    """`target`: as people know it; `setting`: what to set for it."""
    connection = await session.connection()
    await connection.run_sync(_table.create, checkfirst=True)
    await session.execute(_table.insert().values(target=target, setting=setting, at=now))


async def unmark_moved(session: AsyncSession) -> bool:
    """Whether it was."""
    was = await is_moved(session)
    connection = await session.connection()
    await connection.run_sync(_table.drop, checkfirst=True)
    return was


async def is_moved(session: AsyncSession) -> bool:
    connection = await session.connection()
    return await connection.run_sync(lambda sync: sa.inspect(sync).has_table(_table.name))


async def refuse_moved(session: AsyncSession) -> None:
    await (await session.connection()).run_sync(check_not_moved)


def check_not_moved(connection: sa.Connection) -> None:
    """Raises `conflict`."""
    if not sa.inspect(connection).has_table(_table.name):
        return
    found = connection.execute(sa.select(_table)).first()
    if found is not None:
        detail = (
            f"This database was moved to {found.target} on {found.at:%Y-%m-%d %H:%M} UTC: {found.setting}. It is as it "
            "was then; to go on with it and without what was done since: farsite cloud move-database --take-back"
        )
        raise FarsiteError(ErrorCode.CONFLICT, detail)
