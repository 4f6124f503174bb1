"""Devices by what they have in common, read from the counts that are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, func, literal_column

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import NOTHING, among_named, named_list, numbered, padded
from farsite_cloud.database.portable import in_pairs, row_by_row
from farsite_cloud.inventory.counting import WHOLE
from farsite_cloud.inventory.models import InventoryCount, InventoryPosition
from farsite_cloud.inventory.releases import Edges

_C = InventoryCount
_EDGE, _TAG, _PAIR = "edge", "tag", "pair"
"""Of `kept.named`; values by dimension have its name."""
Make = Callable[[Scope], Select[*tuple[Any, ...]]]
Wanted = Mapping[str, Sequence[str]]
"""Values by dimension; a dimension left out takes all."""
Pairs = Collection[tuple[str, str]]
"""Models with versions."""
KINDS, LOOKS = ("model", "version"), ("device_type", "state")
DIMENSIONS = (*KINDS, *LOOKS)


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


async def groups(scope: Scope, edges: Edges, wanted: Wanted, by: Sequence[str] = ALIKE) -> list[Group]:
    """`by`: what they are told apart by. Rows that have what a `Group` has."""
    shape, values = ("groups", tuple(by), *_shape(edges, wanted)), _values(edges, wanted)
    return await scope.kept_rows(shape, _grouped(edges, wanted, by), values)


def _grouped(edges: Edges, wanted: Wanted, by: Sequence[str]) -> Make:
    columns, shown = [getattr(_C, name) for name in by], grouped_columns(_C, by)
    if edges is not None:
        # An index that has them in order already would be of all edge hosts.
        columns = [row_by_row(column) for column in columns]

    def make(scope: Scope) -> Select[*tuple[Any, ...]]:
        statement = _counts(scope, wanted).with_only_columns(func.sum(_C.number).label("number"), *shown)
        statement = _placed(statement.where(_C.tag == ""), edges)
        return statement.group_by(*columns).order_by(*columns)

    return make


def grouped_columns(model: Any, by: Sequence[str]) -> list[Any]:
    """As `Group` has them after its number."""
    return [getattr(model, name) if name in by else _NOTHING.label(name) for name in ALIKE]


async def by_edge_host(
    scope: Scope, edges: Edges, wanted: Wanted, pairs: Pairs | None = None
) -> Counter[str]:
    def make(own: Scope) -> Select[*tuple[Any, ...]]:
        # One model's are found by its index; all others are gone through in the order of edge hosts.
        one = "model" in wanted
        tag, place = (_C.tag, row_by_row(_C.place)) if one else (row_by_row(_C.tag), _C.place)
        numbers = _counts(own, wanted).with_only_columns(_C.place, func.sum(_C.number))
        numbers = numbers.where(tag == "", _C.place != WHOLE)
        if edges is not None:
            numbers = numbers.where(among_named(_C.place, _EDGE, len(edges)))
        if pairs is not None:
            kind = row_by_row(_C.model), row_by_row(_C.version)
            numbers = numbers.where(among_pairs(kind, len(pairs)))
        return numbers.group_by(place)

    shape = ("edge hosts", None if pairs is None else padded(len(pairs)), *_shape(edges, wanted))
    values = _values(edges, wanted) | pair_values(pairs or ())
    return _numbers(await scope.kept_rows(shape, make, values))


async def devices_by_edge_host(scope: Scope, edges: Edges) -> Counter[str]:
    """All of them, without a filter."""
    row = InventoryPosition

    def make(own: Scope) -> Select[*tuple[Any, ...]]:
        numbers = own.select(row).with_only_columns(row.id, row.devices).where(row.devices > 0)
        return numbers if edges is None else numbers.where(among_named(row.id, _EDGE, len(edges)))

    return _numbers(await scope.kept_rows(("all edge hosts", *_shape(edges)), make, _values(edges)))


async def devices_of_all(scope: Scope) -> int:
    """How many the organization has, whoever asks."""

    def make(own: Scope) -> Select[*tuple[Any, ...]]:
        number = func.coalesce(func.sum(InventoryPosition.devices), 0)
        return own.select(InventoryPosition).with_only_columns(number)

    [(number,)] = await scope.kept_rows("devices of all", make)
    return int(number)


async def by_tag(scope: Scope, edges: Edges, tags: list[str] | None = None) -> Counter[str]:
    def make(own: Scope) -> Select[*tuple[Any, ...]]:
        numbers = _counts(own, {}).with_only_columns(_C.tag, func.sum(_C.number))
        numbers = _placed(numbers.where(_C.tag != "", _C.model == "").group_by(_C.tag), edges)
        return numbers if tags is None else numbers.where(among_named(_C.tag, _TAG, len(tags)))

    shape = ("tags", None if tags is None else padded(len(tags)), *_shape(edges))
    values = _values(edges) | numbered(_TAG, tags or [])
    return _numbers(await scope.kept_rows(shape, make, values))


def _numbers(rows: list[Any]) -> Counter[str]:
    return Counter({name: int(number) for name, number in rows})


async def how_many(scope: Scope, edges: Edges, wanted: Wanted) -> int:
    if not wanted:
        return (await devices_by_edge_host(scope, edges)).total()

    def make(own: Scope) -> Select[*tuple[Any, ...]]:
        number = func.coalesce(func.sum(_C.number), 0)
        return _placed(_counts(own, wanted).with_only_columns(number).where(_C.tag == ""), edges)

    [(number,)] = await scope.kept_rows(("how many", *_shape(edges, wanted)), make, _values(edges, wanted))
    return int(number)


def among_pairs(kind: tuple[Any, Any], count: int) -> ColumnElement[bool]:
    """Whether two columns have one of so many `pair_values`."""
    return in_pairs(*kind, *named_list(_PAIR, 2 * padded(count))) if count else NOTHING


def pair_values(pairs: Pairs) -> dict[str, str]:
    if not pairs:
        return {}
    ordered = sorted(pairs)
    ordered += ordered[-1:] * (padded(len(ordered)) - len(ordered))
    return numbered(_PAIR, list(chain.from_iterable(ordered)), 2 * len(ordered))


def _shape(edges: Edges, wanted: Wanted | None = None) -> tuple[Hashable, ...]:
    lengths = tuple((name, padded(len(values))) for name, values in (wanted or {}).items())
    return (None if edges is None else padded(len(edges)), lengths)


def _values(edges: Edges, wanted: Wanted | None = None) -> dict[str, Any]:
    values = numbered(_EDGE, list(edges or ()))
    for name, some in (wanted or {}).items():
        values |= numbered(name, some)
    return values


def _counts(scope: Scope, wanted: Wanted) -> Select[InventoryCount]:
    having = [among_named(getattr(_C, name), name, len(values)) for name, values in wanted.items()]
    return scope.select(_C).where(*having)


def _placed(statement: Select[*tuple[Any, ...]], edges: Edges) -> Select[*tuple[Any, ...]]:
    return statement.where(_C.place == WHOLE if edges is None else among_named(_C.place, _EDGE, len(edges)))
