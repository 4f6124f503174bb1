"""Which AXIS OS releases there are for models: in the folders of edge hosts, and in the operator's catalogue."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Select, event, func

from farsite_cloud.catalogue.service import catalogued
from farsite_cloud.database import Scope
from farsite_cloud.inventory.models import EdgeImage, ModelRelease
from farsite_signaling.wire.inventory_api import Catalogued
from farsite_signaling.wire.os_versions import Standing, model_key, parse, standing

FRESH = 5.0
MOST_KEPT = 1000
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
    _shown: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def with_more(
        self, catalogue: Mapping[str, Catalogued], images: Mapping[str, Mapping[str, int]]
    ) -> Releases:
        """Of further models. Made anew: others may be reading this one."""
        return replace(
            self,
            catalogue={**self.catalogue, **catalogue},
            images={**self.images, **images},
            _offered={},
            _placed={},
            _shown={},
        )

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

    def shown(self, model: str, version: str) -> dict[str, Any]:
        """Where it stands, as an `OsOverviewVersion` has it. Not to be changed."""
        found = self._shown.get((model, version))
        if found is None:
            stands = self.standing(model, version)
            found = self._shown[model, version] = {
                "version": version,
                "track": stands.track.name,
                "support_end": stands.track.support_end,
                "state": stands.state.value,
                "recommended": stands.recommended,
                "crosses_major": stands.crosses_major,
            }
        return found

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
    """At most `FRESH` seconds old where another process changed them; what this one changes is seen at once."""
    keys = {key for model in models if (key := model_key(model))}
    if edges is not None:
        return Releases(today, await catalogued(scope.session, keys), await _images(scope, keys, edges))
    return await kept(scope).get(scope, keys, today)


class Kept:
    """Releases of organizations, kept for a moment: every page of devices asks for them."""

    def __init__(self) -> None:
        self._organizations: dict[str, tuple[float, set[str], Releases]] = {}

    async def get(self, scope: Scope, keys: set[str], today: date) -> Releases:
        now = time.monotonic()
        until, known, found = self._organizations.get(scope.organization_id, (0.0, set(), Releases(today)))
        if until < now or found.today != today:
            until, known, found = now + FRESH, set(), Releases(today)
        if missing := sorted(keys - known):
            found = found.with_more(
                await catalogued(scope.session, missing), await _images(scope, missing, None)
            )
            if len(self._organizations) >= MOST_KEPT:
                self._organizations.clear()
            self._organizations[scope.organization_id] = (until, known | keys, found)
        return found

    def forget(self, organization_id: str) -> None:
        self._organizations.pop(organization_id, None)


_kept: WeakKeyDictionary[object, Kept] = WeakKeyDictionary()


def kept(scope: Scope) -> Kept:
    """Of the scope's database."""
    return _kept.setdefault(scope.session.get_bind().engine.pool, Kept())


def changed(scope: Scope) -> None:
    """Images changed in this unit of work: once it is committed, what is kept is old."""
    here, organization_id = kept(scope), scope.organization_id
    here.forget(organization_id)
    event.listen(
        scope.session.sync_session, "after_commit", lambda _session: here.forget(organization_id), once=True
    )


async def _images(scope: Scope, keys: Collection[str], edges: Edges) -> dict[str, dict[str, int]]:
    statement = _all_edges(scope, keys) if edges is None else _some_edges(scope, keys, edges)
    found: dict[str, dict[str, int]] = {}
    for key, version, count in await scope.rows(statement):
        found.setdefault(key, {})[version] = count
    return found


def _all_edges(scope: Scope, keys: Collection[str]) -> Select[*tuple[Any, ...]]:
    columns = (ModelRelease.model_key, ModelRelease.version, ModelRelease.edge_hosts)
    return scope.select(ModelRelease).with_only_columns(*columns).where(ModelRelease.model_key.in_(keys))


def _some_edges(scope: Scope, keys: Collection[str], edges: Collection[str]) -> Select[*tuple[Any, ...]]:
    number = func.count(EdgeImage.edge_host_id.distinct())
    return (
        scope.select(EdgeImage)
        .with_only_columns(EdgeImage.model_key, EdgeImage.version, number)
        .where(EdgeImage.model_key.in_(keys), EdgeImage.edge_host_id.in_(edges))
        .group_by(EdgeImage.model_key, EdgeImage.version)
    )
