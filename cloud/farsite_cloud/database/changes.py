"""Changing rows that no organization owns, where how many were changed decides who was first."""

from __future__ import annotations

from sqlalchemy import CursorResult, Delete, Update
from sqlalchemy.ext.asyncio import AsyncSession


async def changed_one(session: AsyncSession, statement: Update | Delete) -> bool:
    """However many do the same at once, one of them is told True."""
    result = await session.execute(statement)
    return isinstance(result, CursorResult) and result.rowcount == 1
