"""Pages of the device lists: filtered, searched, sorted; free of I/O."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_versions import version_tuple

Sort = Literal["id", "address", "model", "state", "version", "last_seen"]


class DeviceQuery(BaseModel):
    """`state` is the list; `status` a state of design's words; `search` looks into everything that is shown of a
    device, all of its words must be found."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["discovered", "managed"] | None = None
    status: DeviceState | None = None
    model: str | None = Field(default=None, max_length=200)
    tag: str | None = Field(default=None, max_length=40)
    search: str | None = Field(default=None, max_length=200)
    sort: Sort = "id"
    order: Literal["ascending", "descending"] = "ascending"
    cursor: str | None = Field(default=None, max_length=500)
    limit: int = Field(default=200, ge=1, le=1000)


def page_of(
    records: Iterable[DeviceRecord], query: DeviceQuery
) -> tuple[list[DeviceRecord], str | None, int]:
    """The page, where the next one begins, and how many match in all. Raises `invalid_request` for a wrong cursor."""
    descending = query.order == "descending"
    key = _KEYS[query.sort]
    found = [record for record in records if matches(record, query)]
    found.sort(key=lambda record: (key(record), record.id), reverse=descending)
    rest = found if query.cursor is None else _after(found, query, key, descending)
    page = rest[: query.limit]
    following = _cursor(query, key(page[-1]), page[-1].id) if len(rest) > len(page) else None
    return page, following, len(found)


def matches(record: DeviceRecord, query: DeviceQuery) -> bool:
    if query.state is not None and record.managed != (query.state == "managed"):
        return False
    if query.status is not None and record.state is not query.status:
        return False
    if query.model is not None and record.model.lower() != query.model.lower():
        return False
    if query.tag is not None and query.tag.lower() not in (tag.lower() for tag in record.tags):
        return False
    return query.search is None or _found(record, query.search)


def _found(record: DeviceRecord, search: str) -> bool:
    shown = [record.id, record.model, record.product, record.device_type, record.version, record.hostname]
    text = "\n".join(
        [*shown, *record.addresses, record.address, *record.tags, record.last_error or ""]
    ).lower()
    return all(word in text for word in search.lower().split())


def _address(record: DeviceRecord) -> list[Any]:
    try:
        parsed = ip_address(record.address.partition("%")[0])
    except ValueError:
        return [9, 0, record.address]
    return [parsed.version, int(parsed), ""]


# Keys are lists and texts only: they go through JSON.
_KEYS: dict[str, Callable[[DeviceRecord], Any]] = {
    "id": lambda record: record.id,
    "address": _address,
    "model": lambda record: record.model.lower(),
    "state": lambda record: record.state.value,
    "version": lambda record: list(version_tuple(record.version)),
    "last_seen": lambda record: record.last_seen.isoformat() if record.last_seen else "",
}


def _after(
    found: list[DeviceRecord], query: DeviceQuery, key: Callable[[DeviceRecord], Any], descending: bool
) -> list[DeviceRecord]:
    """What comes behind the cursor, even when that very device is gone."""
    try:
        sort, last, device = json.loads(base64.urlsafe_b64decode(query.cursor or ""))
        if sort != query.sort:
            raise ValueError
        mark = (last, str(device))
        return [
            one for one in found if ((key(one), one.id) < mark if descending else (key(one), one.id) > mark)
        ]
    except (ValueError, TypeError):
        detail = "The cursor is not of this list. Begin again without one."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None


def _cursor(query: DeviceQuery, key: Any, device: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([query.sort, key, device]).encode()).decode()
