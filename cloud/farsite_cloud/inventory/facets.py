"""How many devices a filter leaves, and by what."""

from __future__ import annotations

from collections import Counter
from datetime import date
from operator import attrgetter

from sqlalchemy import func

from farsite_cloud.database import Scope
from farsite_cloud.database.portable import row_by_row
from farsite_cloud.inventory.conditions import narrowed
from farsite_cloud.inventory.grouped import (
    DIMENSIONS,
    Group,
    by_edge_host,
    by_tag,
    devices_by_edge_host,
    grouped_columns,
    groups,
)
from farsite_cloud.inventory.models import ManagedDevice, ThingTag
from farsite_cloud.inventory.releases import releases
from farsite_cloud.inventory.selection import Selection
from farsite_signaling.wire.inventory_api import DeviceCounts, Facet

MOST = 200
FEW = 10_000
_D = ManagedDevice


async def count_devices(scope: Scope, selection: Selection, today: date) -> DeviceCounts:
    if selection.counted:
        found, edges, tags = await _kept(scope, selection)
    else:
        found, edges, tags = await _counted(scope, selection)
    known = await releases(scope, {group.model for group in found}, today)
    kinds: Counter[tuple[str, str]] = Counter()
    for group in found:
        kinds[group.model, group.version] += group.number
    return DeviceCounts(
        total=kinds.total(),
        edge_host=_facets(edges),
        tag=_facets(tags),
        support_ended=sum(number for kind, number in kinds.items() if known.support_ended(*kind)),
        update_available=sum(number for kind, number in kinds.items() if known.update_available(*kind)),
        **{name: _facets(_by(found, name)) for name in DIMENSIONS},
    )


async def _kept(scope: Scope, selection: Selection) -> tuple[list[Group], Counter[str], Counter[str]]:
    all_groups = await groups(scope, selection.edges, selection.wanted, DIMENSIONS)
    found = [group for group in all_groups if selection.takes(group)]
    number = sum(group.number for group in found)
    if selection.pairs is not None:
        return found, await _edges(scope, selection), await _tags(scope, selection, number)
    if selection.wanted:
        edges = await by_edge_host(scope, selection.edges, selection.wanted)
    else:
        edges = await devices_by_edge_host(scope, selection.edges)
    tags = await (_tags(scope, selection, number) if selection.wanted else by_tag(scope, selection.edges))
    return found, edges, tags


async def _counted(scope: Scope, selection: Selection) -> tuple[list[Group], Counter[str], Counter[str]]:
    columns = [getattr(_D, name) for name in DIMENSIONS]
    shown = grouped_columns(_D, DIMENSIONS)
    statement = narrowed(scope, selection).with_only_columns(func.count(_D.id), *shown)
    found = [Group._make(row) for row in await scope.rows(statement.group_by(*columns))]
    number = sum(group.number for group in found)
    return found, await _edges(scope, selection), await _tags(scope, selection, number)


async def _edges(scope: Scope, selection: Selection) -> Counter[str]:
    statement = narrowed(scope, selection)
    grouped = statement.with_only_columns(_D.edge_host_id, func.count(_D.id)).group_by(_D.edge_host_id)
    return Counter({edge: int(number) for edge, number in await scope.rows(grouped)})


async def _tags(scope: Scope, selection: Selection, number: int) -> Counter[str]:
    """`number`: of devices that are left. Of few each one's tags are looked up, of many all tags gone through."""
    ids = narrowed(scope, selection).with_only_columns(_D.id)
    if number <= FEW:
        marks = scope.among(ThingTag, ids, ThingTag.thing_id)
    else:
        marks = scope.select(ThingTag).where(ThingTag.thing_id.in_(ids))
    statement = marks.with_only_columns(ThingTag.tag, func.count()).where(ThingTag.present)
    grouped = statement.group_by(row_by_row(ThingTag.tag))
    return Counter({tag: int(count) for tag, count in await scope.rows(grouped)})


def _by(found: list[Group], name: str) -> Counter[str]:
    numbers: Counter[str] = Counter()
    value = attrgetter(name)
    for group in found:
        numbers[value(group)] += group.number
    return numbers


def _facets(numbers: Counter[str]) -> list[Facet]:
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return [Facet.model_construct(value=value, count=count) for value, count in ordered[:MOST]]
