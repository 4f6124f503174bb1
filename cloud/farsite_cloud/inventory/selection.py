"""A filter of the API as conditions on devices, narrowed to what the caller reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import ColumnElement, Select, and_, case, false, func, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from farsite_cloud.database import Scope
from farsite_cloud.database.portable import among_few, has_text, row_by_row
from farsite_cloud.database.text_index import SHORTEST, is_indexed
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.folders.service import Folders
from farsite_cloud.inventory.grouped import DIMENSIONS, Group, by_tag, groups, how_many
from farsite_cloud.inventory.models import ManagedDevice, ThingTag
from farsite_cloud.inventory.releases import Edges, releases
from farsite_signaling.wire.inventory_api import DeviceFilter
from farsite_signaling.wire.tags import plain_tag

FEW = 3000
"""So many devices are found by an index and sorted; more are met soon enough while going through all in order."""
MOST_WORDS = 8
MOST_FOUND = 1000
"""Of devices with a rare text: their ids go into the statement that shows them."""
SAMPLE, COMMON = 2000, 0.03
"""A text that so many of so many devices have is met often enough."""


@dataclass
class Selection:
    """`wanted`: values by column, of one kind each; `pairs`: models with versions, None when they do not matter; `found`:
    the ids of what has all `words`, once they were looked for."""

    edges: Edges = None
    wanted: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    pairs: set[tuple[str, str]] | None = None
    few: bool = True
    found: list[str] | None = None
    rare_tags: set[str] = field(default_factory=set)

    @property
    def counted(self) -> bool:
        """Whether counts that are kept can tell how many it leaves."""
        return not self.words and not self.tags

    def takes(self, group: Group) -> bool:
        return self.pairs is None or (group.model, group.version) in self.pairs

    def apply(self, scope: Scope, statement: Select[ManagedDevice]) -> Select[ManagedDevice]:
        return statement.where(*self._conditions(scope))

    def _conditions(self, scope: Scope) -> list[ColumnElement[bool]]:
        device = ManagedDevice
        found = [self._in(getattr(device, name), values) for name, values in self.wanted.items()]
        if self.edges is not None:
            found.append(self._in(device.edge_host_id, list(self.edges)))
        if self.pairs is not None:
            found.append(self._in_pairs(self.pairs))
        if self.found is not None:
            found.append(device.id.in_(self.found))
        else:
            found += [has_text(device.search, word) for word in self.words]
        return found + [self._tagged(scope, tag) for tag in self.tags]

    def _in(self, column: InstrumentedAttribute[str], values: Sequence[str]) -> ColumnElement[bool]:
        if len(values) == 1:
            return column == values[0]
        if not values:
            return false()
        return column.in_(values) if self.few else row_by_row(column).in_(values)

    def _in_pairs(self, pairs: set[tuple[str, str]]) -> ColumnElement[bool]:
        if not pairs:
            return false()
        model, version = ManagedDevice.model, ManagedDevice.version
        columns = (model, version) if self.few else (row_by_row(model), row_by_row(version))
        return tuple_(*columns).in_(sorted(pairs))

    def _tagged(self, scope: Scope, tag: str) -> ColumnElement[bool]:
        marks = scope.select(ThingTag).where(ThingTag.tag == tag, ThingTag.present)
        if tag in self.rare_tags:
            return among_few(ManagedDevice.id, marks.with_only_columns(ThingTag.thing_id))
        own = marks.where(ThingTag.thing_id == ManagedDevice.id)
        return own.with_only_columns(ThingTag.id).exists()


async def select_devices(scope: Scope, query: DeviceFilter, today: date) -> Selection:
    """Raises `not_found` for a folder out of reach, `invalid_request` for what is no tag."""
    selection = Selection(await reached_edges(scope, query.folder, query.edge_host))
    for name in DIMENSIONS:
        if (text := getattr(query, name)) is not None:
            selection.wanted[name] = values_of(text)
    selection.words = (query.q or "").casefold().split()[:MOST_WORDS]
    selection.tags = [plain_tag(tag) for tag in values_of(query.tag or "")]
    await _narrow_by_version(scope, selection, query, today)
    await _estimate(scope, selection)
    return selection


async def reached_edges(scope: Scope, folder: str | None, edge_hosts: str | None) -> Edges:
    """None: the whole organization, which is what most ask for."""
    if folder is not None:
        await Folders(scope).get(folder)
    elif edge_hosts is None and scope.reach.roots is None:
        return None
    ids = None if edge_hosts is None else values_of(edge_hosts)
    return [edge.id for edge in await EdgeHosts(scope).within(folder, ids)]


async def find_text(scope: Scope, selection: Selection, *, by_name: bool) -> None:
    """Look for the texts first when few have them: what is found is sorted by anything at once, while who goes through
    all in order meets what many have soon enough.

    `by_name`: they are wanted in the order in which all are gone through anyhow.
    """
    words = selection.words
    if not words or await _are_common(scope, words):
        return
    long = [word for word in words if len(word) >= SHORTEST]
    statement = scope.select(ManagedDevice).order_by(ManagedDevice.name_key)
    if long and await is_indexed(scope.session, ManagedDevice.__tablename__):
        statement = scope.with_words(ManagedDevice, ManagedDevice.search, long)
    elif by_name:
        return
    for word in words:
        statement = statement.where(has_text(ManagedDevice.search, word))
    statement = statement.with_only_columns(ManagedDevice.id)
    ids = [row.id for row in await scope.rows(statement.limit(MOST_FOUND + 1))]
    if len(ids) <= MOST_FOUND:
        selection.found = ids


async def _are_common(scope: Scope, words: Sequence[str]) -> bool:
    """Whether enough of the first devices have them all; an organization of few devices is gone through either way."""
    first = scope.select(ManagedDevice).with_only_columns(ManagedDevice.search)
    sample = first.order_by(ManagedDevice.name_key, ManagedDevice.id).limit(SAMPLE).subquery()
    having = [has_text(sample.c.search, word) for word in words]
    number = func.sum(case((and_(*having), 1), else_=0))
    [(looked_at, have)] = await scope.rows(sample.select().with_only_columns(func.count(), number))
    return int(looked_at) < SAMPLE or int(have) >= SAMPLE * COMMON


def values_of(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


async def _narrow_by_version(scope: Scope, selection: Selection, query: DeviceFilter, today: date) -> None:
    if query.support_ended is None and query.update_available is None:
        return
    found = await groups(scope, selection.edges, selection.wanted, ("model", "version"))
    known = await releases(scope, {group.model for group in found}, today)
    selection.pairs = {
        (group.model, group.version)
        for group in found
        if _holds(query.support_ended, known.support_ended(group.model, group.version))
        and _holds(query.update_available, known.update_available(group.model, group.version))
    }
    selection.few = sum(group.number for group in found if selection.takes(group)) <= FEW


def _holds(wanted: bool | None, found: bool) -> bool:
    return wanted is None or wanted is found


async def _estimate(scope: Scope, selection: Selection) -> None:
    if selection.tags:
        numbers = await by_tag(scope, selection.edges, selection.tags)
        selection.rare_tags = {tag for tag in selection.tags if numbers[tag] <= FEW}
    wide = any(len(values) > 1 for values in selection.wanted.values())
    wide = wide or (selection.edges is not None and len(selection.edges) > 1)
    if selection.pairs is None and wide:
        selection.few = await how_many(scope, selection.edges, selection.wanted) <= FEW
