"""Which AXIS OS releases there are for models: in the folders of edge hosts, and in the operator's catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import func

from farsite_cloud.catalogue.service import catalogued
from farsite_cloud.database import Scope
from farsite_cloud.inventory.models import EdgeImage
from farsite_signaling.wire.inventory_api import Catalogued
from farsite_signaling.wire.os_versions import Standing, model_key, parse, standing

Edges = Collection[str] | None
"""Ids of the edge hosts that are looked at; None: all of the organization."""


@dataclass
class Releases:
    """Of some models. `images`: how many edge hosts have a version's image, by model key and version."""

    today: date
    catalogue: Mapping[str, Catalogued] = field(default_factory=dict)
    images: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    _standing: dict[tuple[str, str], Standing] = field(default_factory=dict)

    def known(self, model: str) -> Catalogued | None:
        return self.catalogue.get(model_key(model))

    def offered(self, model: str) -> dict[str, int]:
        """Versions, newest first, and how many edge hosts have their images."""
        key = model_key(model)
        listed = self.catalogue[key].tracks.values() if key in self.catalogue else ()
        found = dict.fromkeys(listed, 0) | dict(self.images.get(key, {})) if key else {}
        return dict(sorted(found.items(), key=lambda item: parse(item[0]), reverse=True))

    def standing(self, model: str, version: str) -> Standing:
        found = self._standing.get((model, version))
        if found is None:
            found = standing(version, self.offered(model), self.today)
            self._standing[model, version] = found
        return found

    def support_ended(self, model: str, version: str) -> bool:
        known = self.known(model)
        end = None if known is None else known.software_support_end
        if end is not None and end < self.today:
            return True
        return bool(parse(version)) and not self.standing(model, version).track.supported(self.today)

    def update_available(self, model: str, version: str) -> bool:
        """Of the same major: another one is the user's choice (`crosses_major`)."""
        stands = self.standing(model, version)
        return stands.recommended is not None and not stands.crosses_major


async def releases(scope: Scope, models: Iterable[str], today: date, edges: Edges = None) -> Releases:
    keys = sorted({key for model in models if (key := model_key(model))})
    images = await _images(scope, keys, edges)
    return Releases(today, await catalogued(scope.session, keys), images)


async def _images(scope: Scope, keys: Collection[str], edges: Edges) -> dict[str, dict[str, int]]:
    number = func.count(EdgeImage.edge_host_id.distinct())
    statement = (
        scope.select(EdgeImage)
        .with_only_columns(EdgeImage.model_key, EdgeImage.version, number)
        .where(EdgeImage.model_key.in_(keys))
        .group_by(EdgeImage.model_key, EdgeImage.version)
    )
    if edges is not None:
        statement = statement.where(EdgeImage.edge_host_id.in_(edges))
    found: dict[str, dict[str, int]] = {}
    for key, version, count in await scope.rows(statement):
        found.setdefault(key, {})[version] = count
    return found
