"""Devices by what they have in common, read from the counts that are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, String, func, literal_column

from farsite_cloud.database import Scope
from farsite_cloud.database.portable import row_by_row
from farsite_cloud.inventory.counting import WHOLE
from farsite_cloud.inventory.models import InventoryCount, InventoryPosition
from farsite_cloud.inventory.releases import Edges

DIMENSIONS = ("model", "device_type", "version", "state")


_NOTHING = literal_column("''", String)
ALIKE = ("model", "product", "device_type", "version", "state")


class Group(NamedTuple):
    """Devices that are alike in what was asked for; the rest is empty."""

    number: int
    model: str = ""
    product: str = ""
    device_type: str = ""
    version: str = ""
    state: str = ""


async def groups(
    scope: Scope, edges: Edges, wanted: dict[str, list[str]], by: Sequence[str] = ALIKE
) -> list[Group]:
    """`wanted`: values by dimension; a dimension left out takes all. `by`: what they are told apart by."""
    columns = [getattr(InventoryCount, name) for name in by]
    shown = grouped_columns(InventoryCount, by)
    statement = _counts(scope, wanted).with_only_columns(func.sum(InventoryCount.number), *shown)
    statement = _placed(statement.where(InventoryCount.tag == ""), edges)
    found = await scope.rows(statement.group_by(*columns).order_by(*columns))
    return [Group._make(row) for row in found]


def grouped_columns(model: Any, by: Sequence[str]) -> list[Any]:
    """As `Group` has them after its number."""
    return [getattr(model, name) if name in by else _NOTHING.label(name) for name in ALIKE]


async def by_edge_host(scope: Scope, edges: Edges, wanted: dict[str, list[str]]) -> Counter[str]:
    row = InventoryCount
    statement = (
        _counts(scope, wanted)
        .with_only_columns(row.place, func.sum(row.number))
        .where(row.tag == "", row.place != WHOLE)
        .group_by(row_by_row(row.place))  # an index that has them in order already would be all there are
    )
    if edges is not None:
        statement = statement.where(row.place.in_(edges))
    return Counter({place: int(number) for place, number in await scope.rows(statement)})


async def devices_by_edge_host(scope: Scope, edges: Edges) -> Counter[str]:
    """All of them, without a filter."""
    row = InventoryPosition
    statement = scope.select(row).with_only_columns(row.id, row.devices).where(row.devices > 0)
    if edges is not None:
        statement = statement.where(row.id.in_(edges))
    return Counter({edge: int(number) for edge, number in await scope.rows(statement)})


async def by_tag(scope: Scope, edges: Edges, tags: list[str] | None = None) -> Counter[str]:
    row = InventoryCount
    statement = (
        _counts(scope, {})
        .with_only_columns(row.tag, func.sum(row.number))
        .where(row.tag != "", row.model == "")
        .group_by(row.tag)
    )
    if tags is not None:
        statement = statement.where(row.tag.in_(tags))
    return Counter({tag: int(number) for tag, number in await scope.rows(_placed(statement, edges))})


async def how_many(scope: Scope, edges: Edges, wanted: dict[str, list[str]]) -> int:
    number = func.coalesce(func.sum(InventoryCount.number), 0)
    statement = _counts(scope, wanted).with_only_columns(number).where(InventoryCount.tag == "")
    return int((await scope.rows(_placed(statement, edges)))[0][0])


def _counts(scope: Scope, wanted: dict[str, list[str]]) -> Select[InventoryCount]:
    statement = scope.select(InventoryCount)
    for name, values in wanted.items():
        column = getattr(InventoryCount, name)
        statement = statement.where(column == values[0] if len(values) == 1 else column.in_(values))
    return statement


def _placed(statement: Select[*tuple[object, ...]], edges: Edges) -> Select[*tuple[object, ...]]:
    place = InventoryCount.place
    return statement.where(place == WHOLE if edges is None else place.in_(edges))
