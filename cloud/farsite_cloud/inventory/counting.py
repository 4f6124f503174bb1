"""Counts of devices that are alike, changed together with the devices: what is grouped is never counted anew."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from farsite_cloud.database import Scope
from farsite_cloud.inventory.models import InventoryCount, ManagedDevice
from farsite_cloud.organizations.service import lock

WHOLE = ""
"""The place of counts over the whole organization."""
_MOST_KEYS = 500


@dataclass(frozen=True)
class Alike:
    """What counted devices have in common."""

    place: str
    model: str = ""
    product: str = ""
    device_type: str = ""
    version: str = ""
    state: str = ""
    tag: str = ""

    def id(self, organization_id: str) -> str:
        parts = (organization_id, self.place, self.model, self.product, self.device_type)
        text = "\0".join((*parts, self.version, self.state, self.tag))
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


class Changes:
    """Gathered while devices change, then written at once."""

    def __init__(self) -> None:
        self._numbers: Counter[Alike] = Counter()

    def device(self, device: ManagedDevice, number: int) -> None:
        """Of its columns as they are now: take away before they change, add afterwards."""
        self._add(
            Alike(
                device.edge_host_id,
                device.model,
                device.product,
                device.device_type,
                device.version,
                device.state,
            ),
            number,
        )

    def tag(self, edge_host_id: str, tag: str, number: int) -> None:
        self._add(Alike(edge_host_id, tag=tag), number)

    def _add(self, alike: Alike, number: int) -> None:
        self._numbers[alike] += number
        self._numbers[replace(alike, place=WHOLE)] += number

    async def write(self, scope: Scope) -> None:
        moved = {alike: number for alike, number in self._numbers.items() if number}
        if not moved:
            return
        # Edge hosts of one organization change the same rows: they take turns.
        await lock(scope.session, scope.organization_id)
        by_id = {alike.id(scope.organization_id): (alike, number) for alike, number in moved.items()}
        for ids in _pieces(sorted(by_id)):
            known = {row.id: row for row in await scope.all(scope.among(InventoryCount, ids))}
            for id in ids:
                await _change(scope, known.get(id), id, *by_id[id])
        await scope.session.flush()


async def _change(scope: Scope, row: InventoryCount | None, id: str, alike: Alike, number: int) -> None:
    if row is None:
        scope.add(InventoryCount(id=id, number=number, **vars(alike)))
    elif row.number + number > 0:
        row.number += number
    else:
        await scope.session.delete(row)


def _pieces(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _MOST_KEYS):
        yield ids[start : start + _MOST_KEYS]
