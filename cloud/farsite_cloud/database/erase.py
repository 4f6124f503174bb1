"""Everything of an organization, or of an account, gone: from every table, whichever feature it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database.base import Base

ORGANIZATION = "organization_id"
# Chains of audit rows are named after their organization.
_CHAIN = "chain"
_ACCOUNTS = "accounts"
# Of organizations' rows, those that are about one person and of use to nobody else.
_PERSONAL = {
    "tokens",
    "memberships",
    "folder_access",
    "external_identities",
    "saved_views",
    "notice_choices",
    "notices",
    "webhooks",
}


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
    """What is the account's alone; what it did for organizations stays theirs."""
    for table in reversed(Base.metadata.sorted_tables):
        if ORGANIZATION in table.c and table.name not in _PERSONAL:
            continue
        for column in _account_columns(table):
            await _erase_children(session, table, column == account_id)
            await session.execute(delete(table).where(column == account_id))


def _account_columns(table: Table) -> Iterator[Column[Any]]:
    """Foreign keys, and the same where a row outlives its account."""
    for column in table.c:
        if column.name == "account_id" or any(
            key.column.table.name == _ACCOUNTS for key in column.foreign_keys
        ):
            yield column


async def _erase_children(session: AsyncSession, parent: Table, which: ColumnElement[bool]) -> None:
    """Rows of other tables that belong to such rows of `parent`."""
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.column.table is parent:
                theirs = select(key.column).where(which)
                await session.execute(delete(table).where(key.parent.in_(theirs)))
