"""The one place where organizations are kept apart.

Rows of `OrganizationOwned` models are read, changed and deleted through a `Scope`, which adds its organization
to every statement. `tests/cloud/test_tenant_scope.py` refuses code that goes around it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, CursorResult, Delete, Row, Select, Update, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from farsite_cloud.database.base import OrganizationOwned
from farsite_cloud.database.kept import OWN, named, run
from farsite_cloud.database.portable import row_by_row
from farsite_cloud.database.text_index import has_words
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

OwnedT = TypeVar("OwnedT", bound=OrganizationOwned)
ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class Reach:
    """Folders that may be seen, with all below them; `roots` None: every folder. `within` narrows it once more."""

    roots: frozenset[str] | None = None
    within: frozenset[str] | None = None

    @property
    def everywhere(self) -> bool:
        return self.roots is None and self.within is None


EVERYWHERE = Reach()


class Scope:
    """One organization's part of the database, inside one unit of work.

    `reach` narrows it to folders for a member who is not let into all of them; `EdgeHosts` and `Folders` keep to it.
    """

    def __init__(self, session: AsyncSession, organization_id: str, reach: Reach = EVERYWHERE) -> None:
        self.session = session
        self.organization_id = organization_id
        self.reach = reach

    def inside(self, session: AsyncSession) -> Scope:
        """The same in another unit of work."""
        return Scope(session, self.organization_id, self.reach)

    def select(self, model: type[OwnedT]) -> Select[OwnedT]:
        return select(model).where(model.organization_id == self.organization_id)

    def among(
        self,
        model: type[OwnedT],
        ids: Collection[Any] | Select[str],
        column: InstrumentedAttribute[str] | None = None,
    ) -> Select[OwnedT]:
        """Rows found by their ids (or a statement that gives them), or by another column that finds few; other
        organizations' are left out of them."""
        own = row_by_row(model.organization_id) == self.organization_id
        found = model.id if column is None else column
        return select(model).where(found.in_(ids if isinstance(ids, Select) else list(ids)), own)

    def few(self, model: type[OwnedT]) -> Select[OwnedT]:
        """Rows that other conditions find few of; SQLite would rather go through all of the organization's."""
        return select(model).where(row_by_row(model.organization_id) == self.organization_id)

    def with_words(
        self, model: type[OwnedT], column: InstrumentedAttribute[str], count: int
    ) -> Select[OwnedT]:
        """Rows found by an index of parts of texts (`text_index.of_words`), few of all organizations'."""
        own = row_by_row(model.organization_id) == self.organization_id
        return select(model).where(has_words(column, count), own)

    def update(self, model: type[OwnedT]) -> Update:
        return update(model).where(model.organization_id == self.organization_id)

    def delete(self, model: type[OwnedT]) -> Delete:
        return delete(model).where(model.organization_id == self.organization_id)

    async def all(self, statement: Select[OwnedT]) -> list[OwnedT]:
        return list((await self.session.scalars(statement)).all())

    async def rows(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        """Of chosen columns: cheaper than objects where there are many."""
        return (await self.session.execute(statement)).all()

    async def kept_rows(
        self,
        shape: Hashable,
        make: Callable[[Scope], Select[*tuple[Any, ...]]],
        values: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Rows of a statement that is made once for each `shape` (`database/kept.py`): for what is read all the time.

        `make` is given the scope of whichever organization runs it, and names what differs (`named`), so that `values`
        can give it.
        """
        given = {**(values or {}), OWN: self.organization_id}
        return await run(self.session, shape, lambda: make(_ANYBODYS), given)

    async def first(self, statement: Select[OwnedT]) -> OwnedT | None:
        return (await self.session.scalars(statement.limit(1))).first()

    async def count(self, statement: Select[OwnedT]) -> int:
        return await self.session.scalar(select(func.count()).select_from(statement.subquery())) or 0

    async def find(self, model: type[OwnedT], key: str) -> OwnedT | None:
        return await self.first(self.select(model).where(model.id == key))

    async def get(self, model: type[OwnedT], key: str, what: str) -> OwnedT:
        """Raises `not_found`, for another organization's row as for none at all."""
        row = await self.find(model, key)
        if row is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no {what} {key[:64]!r} in this organization.")
        return row

    async def change(self, statement: Update | Delete) -> int:
        """How many rows it changed."""
        result = await self.session.execute(statement)
        assert isinstance(result, CursorResult)
        return result.rowcount

    def add(self, row: OrganizationOwned) -> None:
        row.organization_id = self.organization_id
        self.session.add(row)


class _Anybodys(Scope):
    """Makes statements for whoever runs them; it knows neither a unit of work nor a reach."""

    def __init__(self) -> None:
        self.organization_id: Any = named(OWN)


_ANYBODYS = _Anybodys()


async def owner_of(session: AsyncSession, model: type[OwnedT], key: str) -> str | None:
    """The organization that owns a row, for credentials that are known before their organization is."""
    return await session.scalar(select(model.organization_id).where(model.id == key))


async def owners_of(
    session: AsyncSession, model: type[OwnedT], *conditions: ColumnElement[bool]
) -> list[str]:
    """The organizations that own such rows, for people who are known before they enter one."""
    statement = select(model.organization_id).where(*conditions).distinct()
    return sorted(await session.scalars(statement))


async def by_owner(
    session: AsyncSession, model: type[OwnedT], value: ColumnElement[ValueT], *conditions: ColumnElement[bool]
) -> dict[str, ValueT]:
    """One number or time (`func.count()`, …) of each organization's rows, for who runs the cloud: how many there are,
    and not what they are."""
    statement = select(model.organization_id, value).where(*conditions).group_by(model.organization_id)
    return {row[0]: row[1] for row in await session.execute(statement)}


async def anybodys_rows(
    session: AsyncSession,
    model: type[OwnedT],
    ids: Collection[str],
    columns: Sequence[InstrumentedAttribute[Any]],
) -> dict[str, Row[Any]]:
    """By id, of whichever organization: the caller looks whose each is. For many who say who they are, all at once."""
    statement = select(*columns).where(model.id.in_(sorted(ids)))
    return {row.id: row for row in await session.execute(statement)}


async def touch_rows(
    session: AsyncSession,
    model: type[OwnedT],
    ids: Collection[str],
    values: Mapping[InstrumentedAttribute[Any], Any],
) -> None:
    """Of whichever organizations; their ids were proven. Locked in order: others may touch some of them as well."""
    ordered = select(model.id).where(model.id.in_(sorted(ids))).order_by(model.id)
    locked = ordered.with_for_update(key_share=True).scalar_subquery()
    await session.execute(
        update(model).where(model.id.in_(locked)).values(dict(values)),
        execution_options={"synchronize_session": False},
    )


async def due_rows(
    session: AsyncSession, model: type[OwnedT], *conditions: ColumnElement[bool], limit: int = 1
) -> list[tuple[str, str]]:
    """Organization and id of such rows of every organization, oldest first, for work that nobody asked for."""
    statement = select(model.organization_id, model.id).where(*conditions).order_by(model.id).limit(limit)
    return [(row[0], row[1]) for row in await session.execute(statement)]
