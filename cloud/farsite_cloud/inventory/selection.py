"""A filter of the API as conditions on devices, narrowed to what the caller reaches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.database.kept import named_list, numbered
from farsite_cloud.database.portable import has_text
from farsite_cloud.database.text_index import SHORTEST, is_indexed, of_words, parts_of
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.folders.service import Folders
from farsite_cloud.inventory.grouped import DIMENSIONS, KINDS, Group, by_tag, groups, how_many
from farsite_cloud.inventory.models import ManagedDevice
from farsite_cloud.inventory.releases import Edges, releases
from farsite_cloud.inventory.samples import Sample, sample_of
from farsite_signaling.wire.inventory_api import DeviceFilter
from farsite_signaling.wire.tags import plain_tag

FEW = 3000
"""So many devices are found by an index and sorted; more are met soon enough while going through all in order."""
MOST_WORDS = 8
MOST_FOUND = 1000
"""Of devices with a rare text: their ids go into the statement that shows them."""
MOST_PARTS = 24
WORD = "word"
"""Of `kept.named`."""
COMMON = 0.03
"""A text that so many of the first devices have is met often enough."""
GONE_THROUGH = 20_000
"""So many devices are gone through in a few milliseconds."""


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

    @property
    def of_kinds(self) -> bool:
        """Whether it is a choice of models and versions, and of nothing else."""
        chosen = bool(self.wanted) or self.pairs is not None
        return self.counted and self.edges is None and chosen and set(self.wanted) <= set(KINDS)

    @property
    def listed(self) -> bool:
        """Whether the ids of few devices are known, or those of devices with a tag that few have."""
        return self.found is not None or bool(self.rare_tags)

    @property
    def empty(self) -> bool:
        """Nothing can be in it."""
        chosen = (self.edges, self.pairs, self.found, *self.wanted.values())
        return any(values is not None and not values for values in chosen)

    def takes(self, group: Group) -> bool:
        return self.pairs is None or (group.model, group.version) in self.pairs


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
        await Folders(scope).check(folder)
    elif edge_hosts is None and scope.reach.everywhere:
        return None
    ids = None if edge_hosts is None else values_of(edge_hosts)
    return [edge.id for edge in await EdgeHosts(scope).within(folder, ids)]


async def find_text(scope: Scope, selection: Selection, *, by_name: bool) -> None:
    """Look for the texts first when few have them: what is found is sorted by anything at once, while who goes through
    all in order meets what many have soon enough.

    `by_name`: they are wanted in the order in which all are gone through anyhow.
    """
    words = selection.words
    if not words:
        return
    rare = await _indexed(scope, words)
    if rare is None or (by_name and not rare.words):
        return
    indexed = rare.words
    values = numbered(WORD, words, len(words)) | (of_words(indexed, rare.parts) if indexed else {})
    shape = ("with text", len(words), len(indexed))
    found = await scope.kept_rows(shape, lambda own: _with_text(own, len(words), len(indexed)), values)
    if len(found) <= MOST_FOUND:
        selection.found = [row.id for row in found]


def _with_text(scope: Scope, words: int, indexed: int) -> Select[*tuple[Any, ...]]:
    """`indexed`: how many of the words the index is asked for; the rest is checked row by row."""
    if indexed:
        statement = scope.with_words(ManagedDevice, ManagedDevice.search, indexed)
    else:
        statement = scope.select(ManagedDevice).order_by(ManagedDevice.name_key)
    having = [has_text(ManagedDevice.search, word) for word in named_list(WORD, words)]
    return statement.where(*having).with_only_columns(ManagedDevice.id).limit(MOST_FOUND + 1)


async def _indexed(scope: Scope, words: Sequence[str]) -> _Rare | None:
    """What the index is to be asked for, perhaps nothing; None where what all are gone through for is met soon."""
    sample = await sample_of(scope, GONE_THROUGH)
    # An index of all organizations' texts takes longer than going through those of one that has not many.
    if sample.devices <= GONE_THROUGH:
        return _Rare()
    rare = _rare(sample, words)
    if rare is None or not rare.words or await is_indexed(scope.session, ManagedDevice.__tablename__):
        return rare
    return _Rare()


@dataclass(frozen=True)
class _Rare:
    """Words that the index finds few of, and which parts of them it is asked for: what each device has makes it go
    through all."""

    words: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


def _rare(sample: Sample, words: Sequence[str]) -> _Rare | None:
    """None where enough of the first devices have them all."""
    many = len(sample.texts) * COMMON
    if sample.having(*words) >= many:
        return None
    parts = [part for word in words if len(word) >= SHORTEST for part in parts_of(word)]
    few = {text for text in dict.fromkeys([*words, *parts[:MOST_PARTS]]) if sample.having(text) < many}
    rare = [word for word in words if len(word) >= SHORTEST and word in few]
    return _Rare(rare, [part for word in rare for part in _asked_for(word, few)])


def _asked_for(word: str, few: Collection[str]) -> list[str]:
    every = parts_of(word)
    return [part for part in every if part in few] or every


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
