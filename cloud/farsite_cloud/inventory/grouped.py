"""Devices by what they have in common, read from the counts that are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func

from farsite_cloud.database import Scope
from farsite_cloud.inventory.counting import WHOLE
from farsite_cloud.inventory.models import InventoryCount, InventoryPosition
from farsite_cloud.inventory.releases import Edges

DIMENSIONS = ("model", "device_type", "version", "state")


ALIKE = ("model", "product", "device_type", "version", "state")


@dataclass(slots=True)
class Group:
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
    statement = _counts(scope, wanted).with_only_columns(func.sum(InventoryCount.number), *columns)
    found = await scope.rows(
        _placed(statement.where(InventoryCount.tag == ""), edges).group_by(*columns).order_by(*columns)
    )
    return [Group(int(number), **dict(zip(by, values, strict=True))) for number, *values in found]


async def by_edge_host(scope: Scope, edges: Edges, wanted: dict[str, list[str]]) -> Counter[str]:
    row = InventoryCount
    statement = (
        _counts(scope, wanted)
        .with_only_columns(row.place, func.sum(row.number))
        .where(row.tag == "", row.place != WHOLE)
        .group_by(row.place)
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
        statement = statement.where(getattr(InventoryCount, name).in_(values))
    return statement


def _placed(statement: Select[*tuple[object, ...]], edges: Edges) -> Select[*tuple[object, ...]]:
    place = InventoryCount.place
    return statement.where(place == WHOLE if edges is None else place.in_(edges))
