"""Which devices an order means; free of I/O."""

from __future__ import annotations

from collections.abc import Iterable

from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.edge_tasks import MAX_DEVICES
from farsite_signaling.wire.os_versions import parse
from farsite_signaling.wire.work import Selection


def select(devices: Iterable[DeviceRecord], selection: Selection) -> list[str]:
    """Ids of managed devices, in order; at most as many as one task takes."""
    return sorted(device.id for device in devices if device.managed and _meant(device, selection))[
        :MAX_DEVICES
    ]


def _meant(device: DeviceRecord, selection: Selection) -> bool:
    return (
        (selection.devices is None or device.id in set(selection.devices))
        and _among(device.model, selection.models)
        and _among(device.device_type, selection.device_types)
        and _older(device.version, selection.version_below)
    )


def _among(value: str, wanted: list[str] | None) -> bool:
    return wanted is None or value.casefold() in {one.casefold() for one in wanted}


def _older(version: str, limit: str | None) -> bool:
    """A version nobody knows is not known to be older."""
    return limit is None or (bool(parse(version)) and parse(version) < parse(limit))
