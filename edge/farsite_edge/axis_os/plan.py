"""What is to be done with one device, or why nothing is; free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import BaseModel

from farsite_edge.axis_os.folder import ImageFile, for_model
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.tasks.record import Outcome
from farsite_signaling.wire.edge_tasks import UpgradeRequest
from farsite_signaling.wire.os_versions import crosses_major, parse, recommended, same, way

OLDEST = (7, 40)
"""Firmware before it has no way to go back by itself."""
HARD_ONLY = (12,)
"""From here on a downgrade is refused (error 409) unless the device is reset completely."""


class Hop(BaseModel):
    version: str
    image: str
    size: int


class Plan(BaseModel):
    """Kept with the device's row. `hops` are installed one after the other; the factory default comes with the
    last of them."""

    kind: Literal["upgrade", "rollback"] = "upgrade"
    model: str = ""
    hops: list[Hop] = []
    factory_default: Literal["none", "soft", "hard"] = "none"

    @property
    def target(self) -> str:
        return self.hops[-1].version if self.hops else ""


class Skip(Exception):
    """Says why a device is left out; `harmless` when there is nothing to do."""

    def __init__(self, reason: str, *, harmless: bool = False) -> None:
        super().__init__(reason)
        self.outcome = Outcome.skipped(reason, None) if harmless else Outcome.skipped(reason)


def plan_upgrade(record: DeviceRecord, request: UpgradeRequest, images: list[ImageFile], today: date) -> Plan:
    """Raises `Skip`."""
    _check_known(record)
    offered = for_model(images, record.model)
    if not offered:
        raise Skip(f"There is no image for {record.model} in the image folder or the catalogue.")
    target = _target(record, request, offered, today)
    if parse(target) < parse(record.version):
        _check_downgrade(record.version, target, request.factory_default)
    hops = _hops(record, target, request, offered)
    return Plan(model=record.model, hops=hops, factory_default=request.factory_default)


def _check_known(record: DeviceRecord) -> None:
    if not record.model or not parse(record.version):
        raise Skip("Its model or version is not known yet. Log in to the device first.")
    if parse(record.version) < OLDEST:
        raise Skip(
            f"AXIS OS {record.version} cannot go back by itself when an upgrade fails (7.40 and newer can): "
            "upgrade it from its own web page."
        )


def _check_downgrade(current: str, target: str, factory_default: str) -> None:
    if parse(target) < OLDEST:
        raise Skip(
            f"{target} is older than 7.40, which cannot go back when something fails: install it by hand."
        )
    if factory_default == "none":
        raise Skip(
            f"It runs {current}. A downgrade to {target} needs a factory default, which takes the device's "
            "settings and accounts; ask for it with the option, or use rollback."
        )
    if factory_default == "soft" and parse(current) >= HARD_ONLY:
        raise Skip(
            f"It runs {current}, which takes an older version with a hard factory default only: its network "
            "settings go, too. Ask for it with the option hard, or use rollback."
        )


def _target(
    record: DeviceRecord, request: UpgradeRequest, offered: Mapping[str, ImageFile], today: date
) -> str:
    target = request.version
    if target is None:
        target = recommended(record.version, offered, today)
        if target is None:
            raise Skip(f"It runs {record.version}; there is nothing newer.", harmless=True)
        if crosses_major(target, record.version):
            raise Skip(
                f"It runs {record.version}; the recommended version {target} is of another major. "
                "Choose it by name."
            )
    if same(target, record.version):
        raise Skip(f"It runs {record.version} already.", harmless=True)
    found = next((version for version in offered if same(version, target)), None)
    if found is None:
        raise Skip(f"There is no image of {target} for {record.model}; there is {', '.join(offered)[:200]}.")
    return found


def _hops(
    record: DeviceRecord, target: str, request: UpgradeRequest, offered: Mapping[str, ImageFile]
) -> list[Hop]:
    back = parse(target) < parse(record.version)
    versions, missing = ([target], []) if back else way(record.version, target, offered)
    if missing and not request.direct:
        raise Skip(
            f"The way from {record.version} to {target} leads through {', '.join(missing)}. Put those images for "
            f"{record.model} into the image folder, or ask for the direct way."
        )
    current = record.version
    for version in versions:
        _check_from(current, offered[version])
        current = version
    return [Hop(version=one, image=offered[one].image.id, size=offered[one].image.bytes) for one in versions]


def _check_from(current: str, file: ImageFile) -> None:
    """What `UpgradeableFrom` surely excludes; the device decides about the rest."""
    least = min((parse(one) for one in file.image.upgradeable_from if parse(one)), default=())
    if least and parse(current)[: len(least)] < least:
        shown = ".".join(str(part) for part in least)
        raise Skip(f"{file.version} cannot be installed on {current}: it needs {shown} or newer first.")
