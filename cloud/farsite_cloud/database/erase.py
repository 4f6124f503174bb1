"""Everything of an organization, or of an account, gone: from every table, whichever feature it belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column, Table, delete
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database.base import Base

ORGANIZATION = "organization_id"
# Chains of audit rows are named after their organization.
_CHAIN = "chain"
_ACCOUNTS = "accounts"


async def erase_organization(session: AsyncSession, organization_id: str) -> dict[str, int]:
    """How many rows went, by table. The whole of it is one unit of work."""
    erased = {}
    for table in reversed(Base.metadata.sorted_tables):
        column = _owner_column(table)
        if column is not None:
            result = await session.execute(delete(table).where(column == organization_id))
            erased[table.name] = result.rowcount  # type: ignore[attr-defined]
    return erased


def _owner_column(table: Table) -> Column[str] | None:
    if table.name == "organizations":
        return table.c.id
    for name in (ORGANIZATION, _CHAIN):
        if name in table.c:
            return table.c[name]
    return None


async def forget_account(session: AsyncSession, account_id: str) -> None:
    """What is the account's alone; what organizations keep of it stays theirs."""
    for table in reversed(Base.metadata.sorted_tables):
        if ORGANIZATION in table.c and table.name not in ("tokens", "memberships", "folder_access"):
            continue
        for column in _references(table, _ACCOUNTS):
            await session.execute(delete(table).where(column == account_id))


def _references(table: Table, name: str) -> Iterator[Column[str]]:
    return (key.parent for key in table.foreign_keys if key.column.table.name == name)
