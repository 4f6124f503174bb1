"""Columns of the inventory by their names: the same ones as of its export."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any

from farsite_client.cli.output import ago
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import Catalogued, InventoryDevice

_OF_CATALOGUE = [name for name in Catalogued.model_fields if name != "tracks"]
COLUMNS = [name for name in InventoryDevice.model_fields if name != "catalogue"] + _OF_CATALOGUE


def named_columns(given: str | None) -> list[str]:
    """Raises `invalid_request` with the nearest name there is."""
    names = [name.strip() for name in (given or "").split(",") if name.strip()]
    for name in names:
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, n=1)
            meant = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(COLUMNS)}."
            raise FarsiteError(ErrorCode.INVALID_REQUEST, f"There is no column {name[:50]!r}. {meant}")
    return names


def titles(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ").upper() for name in names]


def cells(device: InventoryDevice, names: Sequence[str]) -> list[object]:
    return [shown(_value(device, name)) for name in names]


def _value(device: InventoryDevice, name: str) -> Any:
    return getattr(device.catalogue if name in _OF_CATALOGUE else device, name, None)


def shown(value: Any) -> object:
    """For people: `yes`, how long ago, `a, b`."""
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return ago(value)
        case date():
            return value.isoformat()
        case list():
            return ", ".join(str(shown(one)) for one in value)
        case _:
            return value
