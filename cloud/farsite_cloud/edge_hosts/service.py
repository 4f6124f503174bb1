"""An organization's edge hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVarTuple

from sqlalchemy import Integer, Row, Select

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import among_named, named, numbered, padded
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.naming import check_free
from farsite_cloud.folders.models import Folder
from farsite_cloud.folders.tree import below, in_reach
from farsite_cloud.services import Peers
from farsite_signaling.rest.etags import tag_of
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Report
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId, clean

_LISTED = (
    EdgeHost.id,
    EdgeHost.organization_id,
    EdgeHost.name,
    EdgeHost.description,
    EdgeHost.hostname,
    EdgeHost.version,
    EdgeHost.last_seen,
    EdgeHost.devices_managed,
)


SHOWN = (
    EdgeHost.id,
    EdgeHost.organization_id,
    EdgeHost.folder_id,
    EdgeHost.name,
    EdgeHost.description,
    EdgeHost.hostname,
    EdgeHost.version,
    EdgeHost.path,
    EdgeHost.remote_access,
    EdgeHost.devices_managed,
    EdgeHost.devices_discovered,
    EdgeHost.claimed_at,
    EdgeHost.last_seen,
    EdgeHost.certificate_expires_at,
    EdgeHost.revoked_at,
    EdgeHost.revision,
)
"""What `edge_values` needs, and who reads it."""


Columns = TypeVarTuple("Columns")


def _page(scope: Scope, *, first: bool) -> Select[*tuple[Any, ...]]:
    statement = scope.select(EdgeHost).with_only_columns(*SHOWN).where(EdgeHost.revoked_at.is_(None))
    if not first:
        statement = statement.where(EdgeHost.id > named("after"))
    return statement.order_by(EdgeHost.id).limit(named("limit", Integer))


def _one(scope: Scope) -> Select[*tuple[Any, ...]]:
    return scope.select(EdgeHost).with_only_columns(*SHOWN).where(EdgeHost.id == named("id"))


def _within(scope: Scope, ids: int | None, *, everywhere: bool) -> Select[*tuple[Any, ...]]:
    statement = scope.select(EdgeHost).with_only_columns(EdgeHost.id, EdgeHost.folder_id)
    statement = statement.where(EdgeHost.revoked_at.is_(None))
    if not everywhere:
        statement = statement.where(EdgeHost.folder_id.in_(below(scope, [named("folder")])))
    return statement if ids is None else statement.where(among_named(EdgeHost.id, "edge", ids))


class EdgeHosts:
    """Those the scope reaches. Revoked ones stay in the database, for the audit log, and out of every answer."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def list(self, after: str | None, limit: int) -> Sequence[Any]:
        """Rows as they are `SHOWN`; one more than `limit`, if there are."""
        first, values = after is None, {"after": after, "limit": limit + 1}
        if self._scope.reach.everywhere:
            return await self._scope.kept_rows(
                ("edge hosts", first), lambda own: _page(own, first=first), values
            )
        return await self._scope.rows(self._in_reach(_page(self._scope, first=first)).params(**values))

    async def shown(self, edge_id: str) -> Any:
        """The same of one. Raises `not_found` as `get` does."""
        if self._scope.reach.everywhere:
            found = await self._scope.kept_rows("edge host", _one, {"id": edge_id})
            if found and found[0].revoked_at is None:
                return found[0]
        return await self.get(edge_id)

    def _reached(self) -> Select[EdgeHost]:
        return self._in_reach(self._scope.select(EdgeHost))

    def _in_reach(self, statement: Select[*Columns]) -> Select[*Columns]:
        folders = in_reach(self._scope)
        return statement if folders is None else statement.where(EdgeHost.folder_id.in_(folders))

    async def within(self, folder: str | None, ids: Sequence[str] | None) -> Sequence[Any]:
        """Of those there are: `id` and `folder_id`; in a folder with all below it, of some ids, or all."""
        if self._scope.reach.everywhere:
            number = None if ids is None else len(ids)
            shape = ("edge hosts within", folder is None, None if number is None else padded(number))
            values = {"folder": folder, **numbered("edge", ids or ())}
            return await self._scope.kept_rows(
                shape, lambda own: _within(own, number, everywhere=folder is None), values
            )
        statement = self._reached().where(EdgeHost.revoked_at.is_(None))
        if folder is not None:
            statement = statement.where(EdgeHost.folder_id.in_(below(self._scope, [folder])))
        if ids is not None:
            statement = statement.where(EdgeHost.id.in_(ids))
        return await self._scope.rows(statement.with_only_columns(EdgeHost.id, EdgeHost.folder_id))

    async def named(self, ids: Collection[str]) -> dict[str, Row[Any]]:
        """`id`, `organization_id`, `name` and `folder_id` of those that there are and are reached."""
        columns = (EdgeHost.id, EdgeHost.organization_id, EdgeHost.name, EdgeHost.folder_id)
        statement = self._in_reach(self._scope.among(EdgeHost, ids)).where(EdgeHost.revoked_at.is_(None))
        return {row.id: row for row in await self._scope.rows(statement.with_only_columns(*columns))}

    async def listed(self, folder: str | None) -> Sequence[Row[Any]]:
        """What a filter and an order need to know of each."""
        statement = self._reached().where(EdgeHost.revoked_at.is_(None))
        if folder is not None:
            statement = statement.where(EdgeHost.folder_id.in_(below(self._scope, [folder])))
        return await self._scope.rows(statement.with_only_columns(*_LISTED))

    async def some(self, ids: Sequence[str]) -> Sequence[EdgeHost]:
        """In this order."""
        found = await self._scope.all(self._reached().where(EdgeHost.id.in_(ids)))
        by_id = {edge.id: edge for edge in found}
        return [by_id[id] for id in ids if id in by_id]

    async def get(self, edge_id: str) -> EdgeHost:
        """Raises `not_found`, for one out of reach as for none at all."""
        edge = await self._scope.first(self._reached().where(EdgeHost.id == edge_id))
        if edge is None:
            detail = f"There is no edge host {edge_id[:64]!r} in this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        if edge.revoked_at is not None:
            detail = f"The edge host {edge_id[:64]!r} was removed from this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        return edge

    async def check_there(self, edge_id: str) -> None:
        """As it is now, whatever was read of it before. Raises `not_found` for one that was removed."""
        mine = self._scope.select(EdgeHost).where(EdgeHost.id == edge_id, EdgeHost.revoked_at.is_(None))
        if not await self._scope.rows(mine.with_only_columns(EdgeHost.id)):
            detail = f"The edge host {edge_id[:64]!r} was removed from this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)

    async def change(self, edge: EdgeHost, body: wire.EdgeHostChange) -> None:
        """Fields left out, or null, stay. Raises `not_found` for an unknown folder, `conflict` for a name that another
        has; for whoever holds the organization's `lock`."""
        changes = body.model_dump(exclude_none=True)
        if body.folder_id is not None:
            await self._scope.get(Folder, body.folder_id, "folder")
        if body.name is not None and body.name.casefold() != edge.name.casefold():
            await check_free(self._scope, body.name, edge.id)
        for name, value in changes.items():
            setattr(edge, name, value)
        edge.revision += 1

    async def everywhere(self) -> Sequence[EdgeHost]:
        """All that are claimed, oldest first."""
        statement = self._reached().where(EdgeHost.revoked_at.is_(None))
        return await self._scope.all(statement.order_by(EdgeHost.id))

    async def below(self, folders: Sequence[str]) -> Sequence[EdgeHost]:
        """Those in these folders and in all below them. Raises `not_found` for an unknown folder."""
        for folder in folders:
            await self._scope.get(Folder, folder, "folder")
        statement = self._reached().where(
            EdgeHost.revoked_at.is_(None), EdgeHost.folder_id.in_(below(self._scope, folders))
        )
        return await self._scope.all(statement.order_by(EdgeHost.id))

    async def by_id(self, ids: Sequence[str]) -> dict[str, EdgeHost]:
        """Removed ones among them."""
        rows = await self._scope.all(self._reached().where(EdgeHost.id.in_(ids)))
        return {row.id: row for row in rows}

    async def revoke_all(self, now: datetime) -> Sequence[EdgeHost]:
        """All of them, those revoked before too."""
        edges = await self._scope.all(self._reached())
        for edge in edges:
            edge.revoked_at = edge.revoked_at or now
        return edges

    async def ids(self) -> set[str]:
        return {edge.id for edge in await self._scope.all(self._reached())}

    async def in_folder(self, folder_id: str) -> int:
        """How many there are, whoever may see them; removed ones do not count."""
        rows = self._scope.select(EdgeHost).where(
            EdgeHost.folder_id == folder_id, EdgeHost.revoked_at.is_(None)
        )
        return await self._scope.count(rows)

    async def move_removed(self, folder_id: str, to: str) -> None:
        """Rows of removed edge hosts leave a folder that is about to go."""
        removed = self._scope.update(EdgeHost).where(
            EdgeHost.folder_id == folder_id, EdgeHost.revoked_at.is_not(None)
        )
        await self._scope.change(removed.values(folder_id=to))

    async def reported(self, edge_id: str, report: Report, now: datetime) -> News:
        edge = await self.get(edge_id)
        others = min(report.devices_other, report.devices_managed)
        news = News(
            switched=edge.remote_access is not report.remote_access,
            counted=(edge.devices_managed, edge.devices_other) != (report.devices_managed, others),
        )
        edge.version, edge.hostname = clean(report.version), clean(report.hostname)
        edge.remote_access, edge.path = report.remote_access, clean(report.path)
        edge.devices_managed, edge.devices_other = report.devices_managed, others
        edge.devices_discovered = report.devices_discovered
        edge.last_seen = now
        return news


class News(NamedTuple):
    """What a report brought: remote access was switched, other devices are managed."""

    switched: bool
    counted: bool


class EdgeRow(NamedTuple):
    """What an edge host is called by on the hub."""

    id: str
    organization_id: str


def online_by(peers: Peers) -> Callable[[Any], bool]:
    """Whether an edge host, or a row that has its `id` and `organization_id`, is connected."""
    return lambda edge: peers.online(str(EdgeName(OrgId(edge.organization_id), EdgeId(edge.id))))


def edge_name(edge: EdgeHost) -> EdgeName:
    return EdgeName(OrgId(edge.organization_id), EdgeId(edge.id))


def edge_values(edge: Any, online: bool, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that a `wire.EdgeHost` has. `edge`: an `EdgeHost`, or a row of what is `SHOWN`."""
    return {
        "id": edge.id,
        "name": edge.name,
        "description": edge.description,
        "folder_id": edge.folder_id,
        "urn": str(edge_name(edge)),
        "online": online,
        "remote_access": edge.remote_access,
        "version": edge.version,
        "path": edge.path if online else "",
        "tags": list(tags),
        "hostname": edge.hostname,
        "devices_managed": edge.devices_managed,
        "devices_discovered": edge.devices_discovered,
        "claimed_at": edge.claimed_at,
        "last_seen": edge.last_seen,
        "certificate_expires_at": edge.certificate_expires_at,
        "etag": tag_of(edge.revision),
    }
