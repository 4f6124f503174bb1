"""How many devices a filter leaves, and by what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Any

from sqlalchemy import Select, func

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import among_named
from farsite_cloud.database.portable import row_by_row
from farsite_cloud.inventory.conditions import narrowed, shape_of, values_in
from farsite_cloud.inventory.grouped import (
    DIMENSIONS,
    KINDS,
    LOOKS,
    Group,
    among_pairs,
    by_edge_host,
    by_tag,
    devices_by_edge_host,
    grouped_columns,
    groups,
)
from farsite_cloud.inventory.models import ManagedDevice, ThingTag
from farsite_cloud.inventory.releases import releases
from farsite_cloud.inventory.selection import Selection

MOST = 200
FEW = 10_000
_D = ManagedDevice


@dataclass
class _Found:
    """Groups that tell models and versions apart, groups that tell the rest, and numbers by edge host and tag."""

    kinds: Sequence[Group]
    looks: Sequence[Group]
    edges: Counter[str]
    tags: Counter[str]


async def count_devices(scope: Scope, selection: Selection, today: date) -> dict[str, Any]:
    """Fields by name, of a `wire.inventory_api.DeviceCounts`: hundreds of models take long to make."""
    found = await (_kept(scope, selection) if selection.counted else _counted(scope, selection))
    known = await releases(scope, {group.model for group in found.kinds}, today)
    kinds: Counter[tuple[str, str]] = Counter()
    for group in found.kinds:
        kinds[group.model, group.version] += group.number
    return {
        "total": kinds.total(),
        "edge_host": _facets(found.edges),
        "tag": _facets(found.tags),
        "support_ended": sum(number for kind, number in kinds.items() if known.support_ended(*kind)),
        "update_available": sum(number for kind, number in kinds.items() if known.update_available(*kind)),
        **{name: _facets(_by(found.kinds, name)) for name in KINDS},
        **{name: _facets(_by(found.looks, name)) for name in LOOKS},
    }


async def _kept(scope: Scope, selection: Selection) -> _Found:
    if selection.pairs is not None:
        every = await groups(scope, selection.edges, selection.wanted, DIMENSIONS)
        found = [group for group in every if selection.takes(group)]
        tags = await _tags(scope, selection, sum(group.number for group in found))
        edges = await by_edge_host(scope, selection.edges, selection.wanted, selection.pairs)
        return _Found(found, found, edges, tags)
    # Each with each would be several times as many.
    kinds = await groups(scope, selection.edges, selection.wanted, KINDS)
    looks = await groups(scope, selection.edges, selection.wanted, LOOKS)
    if not selection.wanted:
        edges = await devices_by_edge_host(scope, selection.edges)
        return _Found(kinds, looks, edges, await by_tag(scope, selection.edges))
    edges = await by_edge_host(scope, selection.edges, selection.wanted)
    return _Found(kinds, looks, edges, await _tags(scope, selection, edges.total()))


async def _counted(scope: Scope, selection: Selection) -> _Found:
    columns = [_groups_by(selection, getattr(_D, name)) for name in DIMENSIONS]
    shown = grouped_columns(_D, DIMENSIONS)
    statement = narrowed(scope, selection).with_only_columns(func.count(_D.id), *shown)
    found = [Group._make(row) for row in await scope.rows(statement.group_by(*columns))]
    tags = await _tags(scope, selection, sum(group.number for group in found))
    return _Found(found, found, await _edges(scope, selection), tags)


async def _edges(scope: Scope, selection: Selection) -> Counter[str]:
    statement = narrowed(scope, selection)
    numbers = statement.with_only_columns(_D.edge_host_id, func.count(_D.id))
    grouped = numbers.group_by(_groups_by(selection, _D.edge_host_id))
    return Counter({edge: int(number) for edge, number in await scope.rows(grouped)})


def _groups_by(selection: Selection, column: Any) -> Any:
    """Few are not looked for along an index that has all in order."""
    return row_by_row(column) if selection.listed else column


async def _tags(scope: Scope, selection: Selection, number: int) -> Counter[str]:
    """`number`: of devices that are left. Of few each one's tags are looked up, of many all tags gone through."""
    if selection.of_kinds:
        return await _tags_of_kinds(scope, selection)
    ids = narrowed(scope, selection).with_only_columns(_D.id)
    if number <= FEW:
        marks = scope.among(ThingTag, ids, ThingTag.thing_id)
    else:
        marks = scope.select(ThingTag).where(ThingTag.thing_id.in_(ids))
    statement = marks.with_only_columns(ThingTag.tag, func.count()).where(ThingTag.present)
    grouped = statement.group_by(row_by_row(ThingTag.tag))
    return Counter({tag: int(count) for tag, count in await scope.rows(grouped)})


async def _tags_of_kinds(scope: Scope, selection: Selection) -> Counter[str]:
    """From an index alone: of all devices of a model, thousands were looked up."""
    shape, values = ("tags of kinds", shape_of(selection)), values_in(selection)
    rows = await scope.kept_rows(shape, lambda own: _marks_of_kinds(own, selection), values)
    return Counter({tag: int(count) for tag, count in rows})


def _marks_of_kinds(scope: Scope, selection: Selection) -> Select[*tuple[Any, ...]]:
    wanted = selection.wanted.items()
    having = [among_named(getattr(ThingTag, name), name, len(values)) for name, values in wanted]
    if selection.pairs is not None:
        having.append(among_pairs((ThingTag.model, ThingTag.version), len(selection.pairs)))
    marks = scope.select(ThingTag).where(ThingTag.present, *having)
    return marks.with_only_columns(ThingTag.tag, func.count()).group_by(row_by_row(ThingTag.tag))


def _by(found: Sequence[Group], name: str) -> Counter[str]:
    numbers: Counter[str] = Counter()
    value = attrgetter(name)
    for group in found:
        numbers[value(group)] += group.number
    return numbers


def _facets(numbers: Counter[str]) -> list[dict[str, Any]]:
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return [{"value": value, "count": count} for value, count in ordered[:MOST]]
