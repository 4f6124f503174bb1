"""Devices by model: what they run, what there is, what is recommended; free of I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

from farsite_edge.axis_os.folder import OFFERED, ImageFile, for_model
from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.edge_tasks import OsChoice, OsInventory, OsRow, OsVersion
from farsite_signaling.wire.os_versions import crosses_major, parse, standing, track_of

NOTES = "https://help.axis.com/axis-os-release-notes"


def inventory(devices: Iterable[DeviceRecord], images: list[ImageFile], today: date) -> OsInventory:
    """A row for each model, by name."""
    models: dict[str, list[DeviceRecord]] = defaultdict(list)
    for device in devices:
        models[device.model].append(device)
    return OsInventory(rows=[_row(model, models[model], images, today) for model in sorted(models)])


def _row(model: str, devices: list[DeviceRecord], images: list[ImageFile], today: date) -> OsRow:
    offered = for_model(images, model) if model else {}
    versions = _versions(devices, offered, today)
    oldest = versions[0]
    return OsRow(
        model=model,
        product=next((device.product for device in devices if device.product), ""),
        devices=len(devices),
        versions=versions,
        track=oldest.track,
        support_end=oldest.support_end,
        recommended=oldest.recommended,
        crosses_major=oldest.crosses_major,
        available=[_choice(version, offered, oldest.version) for version in offered],
        release_notes=NOTES if oldest.recommended else None,
        state=oldest.state,
    )


def _choice(version: str, offered: Mapping[str, ImageFile], current: str) -> OsChoice:
    image = offered[version].image
    return OsChoice(
        version=version,
        image=image.id,
        track=track_of(version).name,
        crosses_major=bool(current) and crosses_major(version, current),
        stored=not image.file.startswith(OFFERED),
    )


def _versions(devices: list[DeviceRecord], offered: Mapping[str, ImageFile], today: date) -> list[OsVersion]:
    """Oldest first."""
    running: dict[str, list[str]] = defaultdict(list)
    for device in devices:
        running[device.version].append(device.id)
    return [_version(one, running[one], offered, today) for one in sorted(running, key=parse)]


def _version(version: str, ids: list[str], offered: Mapping[str, ImageFile], today: date) -> OsVersion:
    stands = standing(version, offered, today)
    return OsVersion(
        version=version,
        count=len(ids),
        devices=sorted(ids),
        track=stands.track.name,
        support_end=stands.track.support_end,
        state=stands.state,
        recommended=stands.recommended,
        crosses_major=stands.crosses_major,
    )
