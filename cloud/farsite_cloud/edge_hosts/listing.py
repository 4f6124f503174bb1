"""Edge hosts by filter and order. There are some thousands at most: they are told apart here, not in the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.folders.service import Folders
from farsite_cloud.inventory.tagging import tags_of
from farsite_signaling.identity.keys import b64decode, b64encode
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import EdgeHostQuery, EdgeSort
from farsite_signaling.wire.tags import plain_tag

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_KEYS: dict[str, Callable[[Any], Any]] = {
    "age": lambda edge: edge.id,
    "name": lambda edge: edge.name.casefold(),
    "last_seen": lambda edge: (edge.last_seen or _NEVER).timestamp(),
    "devices": lambda edge: edge.devices_managed,
}


def is_plain(query: EdgeHostQuery) -> bool:
    """Nothing but a page of all, by age: the database has that in order."""
    return query.model_fields_set <= {"cursor", "limit"}


async def filtered(
    scope: Scope, query: EdgeHostQuery, online: Callable[[Any], bool]
) -> tuple[Sequence[EdgeHost], str | None]:
    """A page and the cursor of the next. Raises `not_found` for an unknown folder, `invalid_request`."""
    if query.folder is not None:
        await Folders(scope).check(query.folder)
    known = await EdgeHosts(scope).listed(query.folder)
    rows = await _tagged(scope, [row for row in known if _matches(row, query, online)], query.tag)
    key, down = _KEYS[query.sort.removeprefix("-")], query.sort.startswith("-")
    ordered = sorted(((key(row), row.id) for row in rows), reverse=down)
    if query.cursor is not None:
        after = _read(query.cursor, query.sort)
        ordered = [place for place in ordered if (place < after if down else place > after)]
    page = ordered[: query.limit]
    following = _cursor(query.sort, page[-1]) if len(ordered) > len(page) else None
    return await EdgeHosts(scope).some([id for _, id in page]), following


def _matches(row: Any, query: EdgeHostQuery, online: Callable[[Any], bool]) -> bool:
    if query.q is not None:
        text = f"{row.name} {row.description} {row.hostname} {row.id}".casefold()
        if not all(word in text for word in query.q.casefold().split()):
            return False
    if query.version is not None and row.version not in query.version.split(","):
        return False
    return query.online is None or online(row) is query.online


async def _tagged(scope: Scope, rows: Sequence[Any], given: str | None) -> Sequence[Any]:
    if given is None:
        return rows
    wanted = {plain_tag(tag) for tag in given.split(",")}
    tags = await tags_of(scope, [row.id for row in rows])
    return [row for row in rows if wanted <= set(tags.get(row.id, ()))]


def _cursor(sort: EdgeSort, place: tuple[Any, str]) -> str:
    return b64encode(json.dumps([sort.value, *place], ensure_ascii=False).encode())


def _read(cursor: str, sort: EdgeSort) -> tuple[Any, str]:
    try:
        given, value, id = json.loads(b64decode(cursor))
    except (FarsiteError, ValueError, TypeError, RecursionError):
        given, value, id = None, None, None
    kinds = (int, float) if sort.removeprefix("-") in ("last_seen", "devices") else (str,)
    if given != sort.value or not isinstance(value, kinds) or not isinstance(id, str):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The cursor is not one of this list's.")
    return value, id
