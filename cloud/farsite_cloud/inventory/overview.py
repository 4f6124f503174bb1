"""AXIS OS over the whole organization: a row for each model."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date

from farsite_cloud.database import Scope
from farsite_cloud.inventory.grouped import Group, groups
from farsite_cloud.inventory.releases import Edges, Releases, releases
from farsite_signaling.wire.inventory_api import (
    OsOverview,
    OsOverviewChoice,
    OsOverviewRow,
    OsOverviewVersion,
)
from farsite_signaling.wire.os_versions import crosses_major, parse, track_of

NOTES = "https://help.axis.com/axis-os-release-notes"


async def overview(scope: Scope, edges: Edges, today: date) -> OsOverview:
    found = await groups(scope, edges, {}, ("model", "product", "version"))
    known = await releases(scope, {group.model for group in found}, today, edges)
    models: dict[str, list[Group]] = defaultdict(list)
    for group in found:
        models[group.model].append(group)
    rows = [_row(model, models[model], known) for model in sorted(models)]
    return OsOverview.model_construct(devices=sum(row.devices for row in rows), rows=rows)


def _row(model: str, found: list[Group], known: Releases) -> OsOverviewRow:
    numbers: Counter[str] = Counter()
    for group in found:
        numbers[group.version] += group.number
    versions = [_version(model, version, numbers[version], known) for version in sorted(numbers, key=parse)]
    oldest = versions[0]
    return OsOverviewRow.model_construct(
        model=model,
        product=next((group.product for group in found if group.product), ""),
        devices=sum(numbers.values()),
        versions=versions,
        track=oldest.track,
        support_end=oldest.support_end,
        recommended=oldest.recommended,
        crosses_major=oldest.crosses_major,
        available=[
            _choice(version, edges, oldest.version) for version, edges in known.offered(model).items()
        ],
        release_notes=NOTES if oldest.recommended else None,
        state=oldest.state,
        catalogue=known.known(model),
    )


def _version(model: str, version: str, number: int, known: Releases) -> OsOverviewVersion:
    stands = known.standing(model, version)
    return OsOverviewVersion.model_construct(
        version=version,
        count=number,
        track=stands.track.name,
        support_end=stands.track.support_end,
        state=stands.state,
        recommended=stands.recommended,
        crosses_major=stands.crosses_major,
    )


def _choice(version: str, edges: int, current: str) -> OsOverviewChoice:
    crosses = bool(current) and crosses_major(version, current)
    return OsOverviewChoice.model_construct(
        version=version, track=track_of(version).name, crosses_major=crosses, edge_hosts=edges
    )
