"""A selection of devices as conditions of a statement, whose shape it tells apart and whose values it names."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select
from sqlalchemy.orm import InstrumentedAttribute

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import among_named, named_list, numbered, padded
from farsite_cloud.database.portable import among_few, has_text, row_by_row
from farsite_cloud.inventory.grouped import among_pairs, pair_values
from farsite_cloud.inventory.models import ManagedDevice, ThingTag
from farsite_cloud.inventory.selection import WORD, Selection

_D = ManagedDevice
_EDGE, _FOUND, _TAG = "edge", "found", "tag"


def narrowed(scope: Scope, selection: Selection) -> Select[ManagedDevice]:
    """Devices of the selection, with its values: for what is asked for now and then."""
    own = scope.few(_D) if selection.listed else scope.select(_D)
    statement: Select[ManagedDevice] = own.where(*conditions(scope, selection))
    return statement.params(**values_in(selection))


def shape_of(selection: Selection) -> Hashable:
    """The same for selections whose `conditions` are the same but for values."""
    return (
        tuple((name, padded(len(values))) for name, values in selection.wanted.items()),
        _length(selection.edges),
        _length(selection.pairs),
        _length(selection.found),
        len(selection.words),
        tuple(tag in selection.rare_tags for tag in selection.tags),
        selection.few,
    )


def _length(values: Any) -> int | None:
    return None if values is None else padded(len(values))


def values_in(selection: Selection) -> dict[str, Any]:
    """By the names that `conditions` give them."""
    values: dict[str, Any] = {}
    for name, wanted in selection.wanted.items():
        values |= numbered(name, wanted)
    if selection.edges is not None:
        values |= numbered(_EDGE, list(selection.edges))
    if selection.pairs is not None:
        values |= pair_values(selection.pairs)
    if selection.found is not None:
        values |= numbered(_FOUND, selection.found)
    values |= numbered(WORD, selection.words, len(selection.words))
    return values | numbered(_TAG, selection.tags, len(selection.tags))


def conditions(scope: Scope, selection: Selection) -> list[ColumnElement[bool]]:
    few = selection.few
    found = [_among(getattr(_D, name), name, len(values), few) for name, values in selection.wanted.items()]
    if selection.edges is not None:
        found.append(_among(_D.edge_host_id, _EDGE, len(selection.edges), few))
    if selection.pairs is not None:
        kind = (_D.model, _D.version) if few else (row_by_row(_D.model), row_by_row(_D.version))
        found.append(among_pairs(kind, len(selection.pairs)))
    if selection.found is not None:
        found.append(_among(_D.id, _FOUND, len(selection.found), few=True))
    else:
        found += [has_text(_D.search, word) for word in named_list(WORD, len(selection.words))]
    rare = [tag in selection.rare_tags for tag in selection.tags]
    tags = zip(named_list(_TAG, len(rare)), rare, strict=True)
    return found + [_tagged(scope, tag, is_rare) for tag, is_rare in tags]


def _among(column: InstrumentedAttribute[str], name: str, count: int, few: bool) -> ColumnElement[bool]:
    return among_named(column if few or count == 1 else row_by_row(column), name, count)


def _tagged(scope: Scope, tag: BindParameter[str], rare: bool) -> ColumnElement[bool]:
    marks = scope.select(ThingTag).where(ThingTag.tag == tag, ThingTag.present)
    if rare:
        return among_few(_D.id, marks.with_only_columns(ThingTag.thing_id))
    own = marks.where(ThingTag.thing_id == _D.id)
    return own.with_only_columns(ThingTag.id).exists()
