"""Saved views: one's own, and those others share."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ValidationError
from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.inventory.export import COLUMNS
from farsite_cloud.views.models import SavedView
from farsite_signaling.rest.etags import tag_of
from farsite_signaling.rest.routes import invalid_request
from farsite_signaling.wire import inventory_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MOST = 200
EDGE_COLUMNS = (
    "name",
    "description",
    "online",
    "version",
    "path",
    "folder",
    "hostname",
    "remote_access",
    "devices_managed",
    "devices_discovered",
    "tags",
    "claimed_at",
    "last_seen",
    "certificate_expires_at",
    "id",
)
_QUERIES: dict[str, type[BaseModel]] = {"devices": wire.DeviceQuery, "edge_hosts": wire.EdgeHostQuery}


class Views:
    """Of one account in the scope's organization."""

    def __init__(self, scope: Scope, account_id: str) -> None:
        self._scope = scope
        self._account_id = account_id

    async def list(self) -> list[SavedView]:
        """By name."""
        return await self._scope.all(self._seen().order_by(SavedView.name, SavedView.id))

    async def get(self, view: str) -> SavedView:
        """Raises `not_found`, for somebody else's own as for none at all."""
        row = await self._scope.first(self._seen().where(SavedView.id == view))
        if row is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no view {view[:64]!r} that you see.")
        return row

    async def create(self, body: wire.ViewRequest, created_by: str, now: datetime) -> SavedView:
        """Raises `conflict` for a name taken or too many, `invalid_request` for an unknown filter or column."""
        own = self._scope.select(SavedView).where(SavedView.account_id == self._account_id)
        if await self._scope.count(own) >= MOST:
            raise FarsiteError(ErrorCode.CONFLICT, f"A user has at most {MOST} views. Remove one.")
        check_view(body.kind, body.query, body.columns)
        await self._check_name(body.name, body.kind, body.shared, None)
        row = SavedView(
            id=new_id(now),
            account_id=self._account_id,
            created_by=created_by,
            created_at=now,
            revision=1,
            **body.model_dump(),
        )
        self._scope.add(row)
        await self._scope.session.flush()
        return row

    async def change(self, row: SavedView, body: wire.ViewChange) -> None:
        changes = body.model_dump(exclude_none=True)
        check_view(row.kind, changes.get("query", row.query), changes.get("columns", row.columns))
        if changes.keys() & {"name", "shared"}:
            name, shared = changes.get("name", row.name), changes.get("shared", row.shared)
            await self._check_name(name, row.kind, shared, row.id)
        for name, value in changes.items():
            setattr(row, name, value)
        row.revision += 1

    async def remove(self, row: SavedView) -> None:
        await self._scope.change(self._scope.delete(SavedView).where(SavedView.id == row.id))

    async def _check_name(self, name: str, kind: str, shared: bool, but: str | None) -> None:
        """Names are told apart among what everybody sees, and among what one sees alone."""
        statement = self._scope.select(SavedView).where(
            SavedView.name == name, SavedView.kind == kind, SavedView.shared == shared
        )
        if not shared:
            statement = statement.where(SavedView.account_id == self._account_id)
        if but is not None:
            statement = statement.where(SavedView.id != but)
        if await self._scope.count(statement):
            raise FarsiteError(ErrorCode.CONFLICT, f"There is a view {name!r} already.")

    def _seen(self) -> Select[SavedView]:
        mine = SavedView.account_id == self._account_id
        return self._scope.select(SavedView).where(mine | SavedView.shared)


def check_view(kind: str, query: dict[str, str], columns: list[str]) -> None:
    if query.keys() & {"cursor", "limit"}:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, "A view has no cursor and no limit: they are of one page."
        )
    try:
        _QUERIES[kind].model_validate(query)
    except ValidationError as error:
        raise invalid_request(error) from None
    known = COLUMNS if kind == "devices" else EDGE_COLUMNS
    for name in columns:
        if name not in known:
            detail = f"There is no column {name[:64]!r}. There are: {', '.join(known)}."
            raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)


def view_answer(row: SavedView, account_id: str) -> wire.View:
    return wire.View(
        id=row.id,
        name=row.name,
        kind=row.kind,
        query=row.query,
        columns=row.columns,
        shared=row.shared,
        own=row.account_id == account_id,
        created_by=row.created_by,
        created_at=row.created_at,
        etag=tag_of(row.revision),
    )
