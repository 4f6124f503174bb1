"""Pages of devices, and single ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Integer, Select, tuple_

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import named, named_list, numbered
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts, EdgeRow
from farsite_cloud.inventory.conditions import conditions, shape_of, values_in
from farsite_cloud.inventory.models import ManagedDevice
from farsite_cloud.inventory.releases import Releases, releases
from farsite_cloud.inventory.selection import Selection
from farsite_signaling.identity.keys import b64decode, b64encode
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import DeviceSort, InventoryDevice

_D = ManagedDevice
_SORTS: Mapping[str, tuple[Any, ...]] = {
    "name": (_D.name_key, _D.id),
    "serial": (_D.serial, _D.id),
    "model": (_D.model, _D.name_key, _D.id),
    "version": (_D.version_key, _D.name_key, _D.id),
    "state": (_D.state, _D.name_key, _D.id),
    "address": (_D.address_key, _D.id),
}
_COLUMNS = (
    _D.id,
    _D.serial,
    _D.name,
    _D.edge_host_id,
    _D.model,
    _D.product,
    _D.device_type,
    _D.version,
    _D.state,
    _D.address,
    _D.details,
    _D.first_seen,
    _D.last_seen,
    _D.changed_at,
    _D.organization_id,
    EdgeHost.name.label("edge_host"),
    EdgeHost.folder_id,
)
_NO_DETAILS = {
    name: InventoryDevice.model_fields[name].get_default(call_default_factory=True)
    for name in (
        "hostname",
        "addresses",
        "http_port",
        "https_port",
        "capabilities",
        "tags",
        "last_error",
    )
}
"""Of devices that were told before there were these."""
LIMIT, AFTER, ID = "limit", "after", "id"
"""Of `kept.named`."""
Rows = Sequence[Any]
"""Of `_COLUMNS`."""


class Devices:
    """Those the scope reaches."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def page(
        self, selection: Selection, sort: DeviceSort, cursor: str | None, limit: int
    ) -> tuple[Rows, str | None]:
        """Rows and the cursor of the next page. Raises `invalid_request` for another list's cursor."""
        values = values_in(selection) | {LIMIT: limit + 1}
        if cursor is not None:
            after = read_cursor(cursor, sort, len(_keys(sort)))
            values |= numbered(AFTER, after, len(after))
        if selection.empty:
            return [], None
        shape = ("devices", sort, cursor is None, shape_of(selection))
        found = await self._scope.kept_rows(
            shape, lambda own: _page(own, selection, sort, first=cursor is None), values
        )
        if len(found) <= limit:
            return found, None
        return found[:limit], make_cursor(sort, found[limit - 1][len(_COLUMNS) :])

    async def get(self, device: str) -> ManagedDevice:
        """By its id, or by its serial number. Raises `not_found`, `conflict` for a serial number known twice."""
        by_serial = self._scope.select(_D).where(_D.serial == device.upper()).limit(2)
        found = await self._reached(self._scope.among(_D, [device])) or await self._reached(by_serial)
        if not found:
            detail = f"There is no device {device[:64]!r} in this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        if len(found) > 1:
            detail = f"Several edge hosts manage the device {device[:64]!r}. Name it by its id."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        return found[0]

    async def _reached(self, statement: Select[ManagedDevice]) -> list[ManagedDevice]:
        found = await self._scope.all(statement)
        if self._scope.reach.everywhere or not found:
            return found
        edges = await EdgeHosts(self._scope).named({row.edge_host_id for row in found})
        return [row for row in found if row.edge_host_id in edges]

    async def row(self, device: str) -> Rows:
        """The same as `get`, as rows are answered."""
        found = await self._one(device)
        if found and self._scope.reach.everywhere:
            return found
        return await self._one((await self.get(device)).id)

    async def _one(self, id: str) -> Rows:
        return await self._scope.kept_rows("device", lambda own: _shown(own, [named(ID)]), {ID: id})

    async def some(self, ids: Sequence[str]) -> list[ManagedDevice]:
        """Raises `not_found` naming the first one that is not there."""
        found = await self._reached(self._scope.among(_D, ids))
        missing = set(ids) - {row.id for row in found}
        if missing:
            detail = f"There is no device {min(missing)[:64]!r} in this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        return found


def _keys(sort: DeviceSort) -> tuple[Any, ...]:
    return _SORTS[sort.removeprefix("-")]


def _page(scope: Scope, selection: Selection, sort: DeviceSort, *, first: bool) -> Select[*tuple[Any, ...]]:
    keys, down = _keys(sort), sort.startswith("-")
    order = [key.desc() if down else key for key in keys]
    # Keys first: they come from an index alone, also where many are passed over.
    chosen = scope.select(_D).where(*conditions(scope, selection)).with_only_columns(_D.id)
    if not first:
        place, after = tuple_(*keys), tuple_(*named_list(AFTER, len(keys)))
        chosen = chosen.where(place < after if down else place > after)
    chosen = chosen.order_by(*order).limit(named(LIMIT, Integer))
    return _shown(scope, chosen, *keys).order_by(*order)


def _shown(scope: Scope, ids: Any, *more: Any) -> Select[*tuple[Any, ...]]:
    """`ids`: a statement or a list."""
    statement = scope.among(_D, ids).with_only_columns(*_COLUMNS, *more)
    return statement.join(EdgeHost, EdgeHost.id == _D.edge_host_id)


class Answers:
    """Rows as they are answered. `online` tells whether an edge host is."""

    def __init__(self, scope: Scope, online: Any, today: date) -> None:
        self._scope = scope
        self._online = online
        self._today = today

    async def make(self, rows: Rows) -> list[InventoryDevice]:
        return [InventoryDevice.model_construct(**values) for values in await self.values(rows)]

    async def values(self, rows: Rows) -> list[dict[str, Any]]:
        """Fields by name: pages are made of these, because thousands of models take long to make."""
        if not rows:
            return []
        known = await releases(self._scope, {row.model for row in rows}, self._today)
        edges = {row.edge_host_id: row.organization_id for row in rows}
        online = {id: self._online(EdgeRow(id, owner)) for id, owner in edges.items()}
        return [_values(row, online[row.edge_host_id], known) for row in rows]


def _values(row: Any, online: bool, known: Releases) -> dict[str, Any]:
    """Everything that an `InventoryDevice` has."""
    id, serial, name, edge_host_id, model, product, device_type, version, state, address, details, *rest = row
    first_seen, last_seen, changed_at, _, edge_host, folder_id = rest[:6]
    placed = known.placed(model, version)
    standing, catalogue = placed.standing, placed.catalogue
    until = None if catalogue is None else warranty_until(first_seen, catalogue.warranty_months)
    return {
        "id": id,
        "serial": serial,
        "name": name,
        "edge_host_id": edge_host_id,
        "edge_host": edge_host,
        "edge_online": online,
        "folder_id": folder_id,
        "model": model,
        "product": product,
        "device_type": device_type,
        "version": version,
        "track": standing.track.name,
        "support_end": standing.track.support_end,
        "support_ended": placed.support_ended,
        "recommended": standing.recommended,
        "update_available": placed.update_available,
        "state": state,
        "address": address,
        "first_seen": first_seen,
        "last_seen": last_seen,
        "changed_at": changed_at,
        "warranty_until": until,
        "warranty_basis": "first_seen" if until is not None else None,
        "catalogue": catalogue,
        **_NO_DETAILS,
        **details,
    }


def warranty_until(first_seen: datetime | None, months: int | None) -> date | None:
    """None where either is not known: a warranty is never guessed."""
    if first_seen is None or months is None:
        return None
    whole = first_seen.year * 12 + first_seen.month - 1 + months
    year, month = divmod(whole, 12)
    for day in (first_seen.day, 30, 29, 28):
        try:
            return date(year, month + 1, day)
        except ValueError:
            continue
    return None


def make_cursor(sort: DeviceSort, keys: Sequence[Any]) -> str:
    return b64encode(json.dumps([sort.value, *keys], ensure_ascii=False).encode())


def read_cursor(cursor: str, sort: DeviceSort, length: int) -> tuple[str, ...]:
    try:
        given = json.loads(b64decode(cursor))
    except (FarsiteError, ValueError, RecursionError):
        given = None
    right = isinstance(given, list) and len(given) == length + 1 and given[0] == sort.value
    if not right or not all(isinstance(value, str) and "\0" not in value for value in given):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The cursor is not one of this list's.")
    return tuple(given[1:])
