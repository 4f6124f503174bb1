"""What the first devices of an organization are called: they say which words are common.

Kept for a while. Nothing that is answered depends on it, only which way is taken to the answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from sqlalchemy import Select

from farsite_cloud.database import Scope
from farsite_cloud.inventory.grouped import devices_of_all
from farsite_cloud.inventory.models import ManagedDevice

FIRST = 500
FRESH = 30.0
MOST_KEPT = 100


@dataclass(frozen=True)
class Sample:
    """`devices`: how many there are; `texts` of the first of them, none where all are soon gone through."""

    devices: int
    texts: tuple[str, ...] = ()

    def having(self, *words: str) -> int:
        """How many of the first devices have all of these."""
        if len(words) == 1:
            return sum([words[0] in text for text in self.texts])
        return sum(all(word in text for word in words) for text in self.texts)


_kept: WeakKeyDictionary[object, dict[str, tuple[float, Sample]]] = WeakKeyDictionary()


async def sample_of(scope: Scope, gone_through: int) -> Sample:
    """`gone_through`: so many devices need no sample. At most `FRESH` seconds old."""
    kept = _kept.setdefault(scope.session.get_bind().engine.pool, {})
    now = time.monotonic()
    until, found = kept.get(scope.organization_id, (0.0, Sample(0)))
    if until < now:
        found = await _look(scope, gone_through)
        if len(kept) >= MOST_KEPT:
            kept.clear()
        kept[scope.organization_id] = (now + FRESH, found)
    return found


async def _look(scope: Scope, gone_through: int) -> Sample:
    devices = await devices_of_all(scope)
    if devices <= gone_through:
        return Sample(devices)
    rows = await scope.kept_rows("first texts", _first_texts)
    return Sample(devices, tuple(row.search for row in rows))


def _first_texts(scope: Scope) -> Select[str]:
    first = scope.select(ManagedDevice).with_only_columns(ManagedDevice.search)
    return first.order_by(ManagedDevice.name_key, ManagedDevice.id).limit(FIRST)
