"""Which AXIS OS releases there are for models: in the folders of edge hosts, and in the operator's catalogue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Select, func

from farsite_cloud.catalogue.service import catalogued
from farsite_cloud.database import Scope
from farsite_cloud.inventory.models import EdgeImage, ModelRelease
from farsite_signaling.wire.inventory_api import Catalogued
from farsite_signaling.wire.os_versions import Standing, model_key, parse, standing

Edges = Collection[str] | None
"""Ids of the edge hosts that are looked at; None: all of the organization."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What is known of one version of a model."""

    standing: Standing
    support_ended: bool
    update_available: bool
    catalogue: Catalogued | None


@dataclass
class Releases:
    """Of some models. `images`: how many edge hosts have a version's image, by model key and version."""

    today: date
    catalogue: Mapping[str, Catalogued] = field(default_factory=dict)
    images: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    _offered: dict[str, dict[str, int]] = field(default_factory=dict)
    _placed: dict[tuple[str, str], Placed] = field(default_factory=dict)

    def known(self, model: str) -> Catalogued | None:
        return self.catalogue.get(model_key(model))

    def offered(self, model: str) -> dict[str, int]:
        """Versions, newest first, and how many edge hosts have their images."""
        found = self._offered.get(model)
        if found is None:
            found = self._offered[model] = self._sorted(model_key(model))
        return found

    def _sorted(self, key: str) -> dict[str, int]:
        listed = self.catalogue[key].tracks.values() if key in self.catalogue else ()
        found = dict.fromkeys(listed, 0) | dict(self.images.get(key, {})) if key else {}
        return dict(sorted(found.items(), key=lambda item: parse(item[0]), reverse=True))

    def placed(self, model: str, version: str) -> Placed:
        found = self._placed.get((model, version))
        if found is None:
            found = self._placed[model, version] = self._place(model, version)
        return found

    def standing(self, model: str, version: str) -> Standing:
        return self.placed(model, version).standing

    def support_ended(self, model: str, version: str) -> bool:
        return self.placed(model, version).support_ended

    def update_available(self, model: str, version: str) -> bool:
        """Of the same major: another one is the user's choice (`crosses_major`)."""
        return self.placed(model, version).update_available

    def _place(self, model: str, version: str) -> Placed:
        stands = standing(version, self.offered(model), self.today)
        known = self.known(model)
        end = None if known is None else known.software_support_end
        ended = bool(parse(version)) and not stands.track.supported(self.today)
        update = stands.recommended is not None and not stands.crosses_major
        return Placed(stands, ended or (end is not None and end < self.today), update, known)


async def releases(scope: Scope, models: Iterable[str], today: date, edges: Edges = None) -> Releases:
    keys = sorted({key for model in models if (key := model_key(model))})
    images = await _images(scope, keys, edges)
    return Releases(today, await catalogued(scope.session, keys), images)


async def _images(scope: Scope, keys: Collection[str], edges: Edges) -> dict[str, dict[str, int]]:
    statement = _kept(scope, keys) if edges is None else _counted(scope, keys, edges)
    found: dict[str, dict[str, int]] = {}
    for key, version, count in await scope.rows(statement):
        found.setdefault(key, {})[version] = count
    return found


def _kept(scope: Scope, keys: Collection[str]) -> Select[*tuple[Any, ...]]:
    columns = (ModelRelease.model_key, ModelRelease.version, ModelRelease.edge_hosts)
    return scope.select(ModelRelease).with_only_columns(*columns).where(ModelRelease.model_key.in_(keys))


def _counted(scope: Scope, keys: Collection[str], edges: Collection[str]) -> Select[*tuple[Any, ...]]:
    number = func.count(EdgeImage.edge_host_id.distinct())
    return (
        scope.select(EdgeImage)
        .with_only_columns(EdgeImage.model_key, EdgeImage.version, number)
        .where(EdgeImage.model_key.in_(keys), EdgeImage.edge_host_id.in_(edges))
        .group_by(EdgeImage.model_key, EdgeImage.version)
    )
