"""AXIS OS over the whole organization: a row for each model."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from typing import Any

from farsite_cloud.database import Scope
from farsite_cloud.inventory.grouped import Group, groups
from farsite_cloud.inventory.releases import Edges, Releases, releases
from farsite_signaling.wire.os_versions import crosses_major, parse, track_of

NOTES = "https://help.axis.com/axis-os-release-notes"


async def overview(scope: Scope, edges: Edges, today: date) -> dict[str, Any]:
    """Fields by name, of a `wire.inventory_api.OsOverview`: hundreds of models take long to make."""
    found = await groups(scope, edges, {}, ("model", "product", "version"))
    known = await releases(scope, {group.model for group in found}, today, edges)
    models: dict[str, list[Group]] = defaultdict(list)
    for group in found:
        models[group.model].append(group)
    rows = [_row(model, models[model], known) for model in sorted(models)]
    return {"devices": sum(row["devices"] for row in rows), "rows": rows}


def _row(model: str, found: list[Group], known: Releases) -> dict[str, Any]:
    numbers: Counter[str] = Counter()
    for group in found:
        numbers[group.version] += group.number
    versions = [
        {**known.shown(model, version), "count": numbers[version]} for version in sorted(numbers, key=parse)
    ]
    oldest = versions[0]
    return {
        "model": model,
        "product": next((group.product for group in found if group.product), ""),
        "devices": sum(numbers.values()),
        "versions": versions,
        "track": oldest["track"],
        "support_end": oldest["support_end"],
        "recommended": oldest["recommended"],
        "crosses_major": oldest["crosses_major"],
        "available": [
            _choice(version, edges, oldest["version"]) for version, edges in known.offered(model).items()
        ],
        "release_notes": NOTES if oldest["recommended"] else None,
        "state": oldest["state"],
        "catalogue": known.known(model),
    }


def _choice(version: str, edges: int, current: str) -> dict[str, Any]:
    crosses = bool(current) and crosses_major(version, current)
    return {
        "version": version,
        "track": track_of(version).name,
        "crosses_major": crosses,
        "edge_hosts": edges,
    }
