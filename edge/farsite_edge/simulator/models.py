"""Which devices can be simulated, declared as data; `describe` and `load` turn them into a site."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any

from farsite_edge.simulator.generations import GENERATIONS, Generation
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_DEVICES = 1000
FAULTS = ("none", "hang", "login_loop", "redirect", "garbage", "endless", "drip")  # of `faults.Fault`
USERNAME = "root"
PASSWORD = (
    "farsite-demo"  # every simulated device has it unless told otherwise; they hold nothing worth hiding
)


class Kind(StrEnum):
    CAMERA = "camera"
    RADAR = "radar"
    SPEAKER = "speaker"
    SIREN = "siren"
    AIR_QUALITY = "air_quality"
    PEOPLE_COUNTER = "people_counter"


# What a kind has beside the APIs of its firmware.
KIND_APIS: dict[Kind, tuple[tuple[str, str], ...]] = {
    Kind.CAMERA: (),
    Kind.RADAR: (("radar-autotracking", "1.0"),),
    Kind.SPEAKER: (("audio-device-control", "1.4"), ("mediaclip", "1.0")),
    Kind.SIREN: (("audio-device-control", "1.4"), ("siren-and-light", "1.2")),
    Kind.AIR_QUALITY: (("air-quality-sensor", "1.0"),),
    Kind.PEOPLE_COUNTER: (("people-counter", "1.0"),),
}


@dataclass(frozen=True)
class DeviceModel:
    """A product with the firmware it runs. `resolutions` empty means no video."""

    number: str  # ProdNbr
    device_type: str  # ProdType
    version: str
    generation: str  # key of GENERATIONS
    build_date: str
    hardware_id: str
    architecture: str
    soc: str
    oui: str
    resolutions: tuple[str, ...] = ()
    views: int = 1
    ptz: bool = False
    audio: bool = False
    sd_card: bool = True
    io_ports: int = 0
    kind: Kind = Kind.CAMERA
    acap: bool = True  # takes applications, if its firmware does
    brand: str = "AXIS"

    @property
    def apis(self) -> tuple[tuple[str, str], ...]:
        """JSON APIs by id and version: those of its firmware that its kind has."""
        if not self.quirks.apis:
            return ()
        left_out = () if self.video else ("stream-profiles",)
        own = [*(one for one in self.quirks.apis if one[0] not in left_out), *KIND_APIS[self.kind]]
        return tuple(sorted(own))

    @property
    def product(self) -> str:
        return f"{self.brand} {self.number}"

    @property
    def full_name(self) -> str:
        return f"{self.product} {self.device_type}"

    @property
    def video(self) -> bool:
        return bool(self.resolutions)

    @property
    def quirks(self) -> Generation:
        return GENERATIONS[self.generation]


_HD = ("1920x1080", "1280x960", "1280x720", "1024x768", "800x600", "640x480", "640x360", "320x240")
_4K = ("3840x2160", "2688x1512", *_HD)
_SMALL = ("800x600", "640x480", "640x360", "480x360", "320x240", "160x120")

_MODELS = (
    DeviceModel(
        "P3265-V", "Dome Camera", "12.9.57", "12", "Feb 20 2026 18:19", "92D", "aarch64", "Axis Artpec-8", "B8A44F",
        resolutions=_HD, views=4, audio=True, io_ports=1,
    ),
    DeviceModel(
        "P3245-LVE", "Dome Camera", "11.11.192", "11.11", "Oct 02 2025 11:27", "79F.4", "armv7hf", "Axis Artpec-7",
        "ACCC8E", resolutions=_HD, views=4, audio=True, io_ports=2,
    ),
    DeviceModel(
        "M3058-PLVE", "Dome Camera", "10.12.323", "10.12", "Jun 18 2025 09:03", "7D1", "armv7hf", "Ambarella S3L",
        "ACCC8E", resolutions=_4K, views=8, audio=True, io_ports=2,
    ),
    DeviceModel(
        "M1065-LW", "Network Camera", "9.80.2.2", "9.80", "Apr 29 2020 06:50", "70E", "armv7hf",
        "Ambarella S2L (Flattened Device Tree)", "ACCC8E", resolutions=_HD, views=2, audio=True,
    ),
    DeviceModel(
        "M3024-L", "Network Camera", "5.51.7", "5.51", "Oct 16 2020 10:12", "16C", "mips", "Axis Artpec-4", "00408C",
        resolutions=_SMALL, sd_card=False,
    ),
    DeviceModel(
        "C1310-E", "Network Horn Speaker", "12.9.57", "12", "Feb 20 2026 18:19", "9A2", "aarch64", "i.MX8MN",
        "B8A44F", audio=True, io_ports=2, kind=Kind.SPEAKER,
    ),
    DeviceModel(
        "D2110-VE", "Radar", "11.11.192", "11.11", "Oct 02 2025 11:27", "8B4", "armv7hf", "Axis Artpec-7", "B8A44F",
        resolutions=("1280x720", "640x360", "320x180"), io_ports=4, kind=Kind.RADAR,
    ),
    DeviceModel(
        "Q6135-LE", "PTZ Dome Network Camera", "10.12.323", "10.12", "Jun 18 2025 09:03", "84E", "armv7hf",
        "Axis Artpec-7", "B8A44F", resolutions=_HD, ptz=True, io_ports=4,
    ),
    DeviceModel(
        "Q1615-Mk-II", "Box Camera", "8.45.4.5", "8.45", "Jan 14 2020 15:31", "739", "mips", "Axis Artpec-5", "ACCC8E",
        resolutions=_HD, views=2, audio=True, io_ports=2,
    ),
    DeviceModel(
        "M3215-LVE", "Dome Camera", "12.11.77", "12", "Aug 04 2026 12:40", "9D8", "aarch64", "Ambarella CV25",
        "E82725", resolutions=_HD, views=2,
    ),
    DeviceModel(
        "P1468-LE", "Bullet Camera", "12.11.77", "12", "Aug 04 2026 12:40", "92F", "aarch64", "Axis Artpec-8",
        "B8A44F", resolutions=_4K, views=4, audio=True, io_ports=1,
    ),
    DeviceModel(
        "Q1656", "Box Camera", "12.9.57", "12", "Feb 20 2026 18:19", "8F6", "aarch64", "Axis Artpec-8", "B8A44F",
        resolutions=_4K, views=8, audio=True, io_ports=4,
    ),
    DeviceModel(
        "D4200-VE", "Network Strobe Speaker", "12.9.57", "12", "Feb 20 2026 18:19", "9C1", "aarch64", "i.MX8MN",
        "B8A44F", audio=True, sd_card=False, kind=Kind.SIREN,
    ),
    DeviceModel(
        "D6210", "Air Quality Sensor", "12.11.77", "12", "Aug 04 2026 12:40", "9E4", "aarch64", "i.MX8MN", "E82725",
        sd_card=False, io_ports=2, kind=Kind.AIR_QUALITY, acap=False,
    ),
    DeviceModel(
        "D2210-VE", "Radar", "12.9.57", "12", "Feb 20 2026 18:19", "99B", "aarch64", "Axis Artpec-8", "B8A44F",
        resolutions=("1280x720", "640x360", "320x180"), io_ports=1, kind=Kind.RADAR,
    ),
    DeviceModel(
        "P8815-2", "3D People Counter", "10.12.323", "10.12", "Jun 18 2025 09:03", "7F3", "armv7hf",
        "Ambarella S5L", "ACCC8E", resolutions=_SMALL, sd_card=False, kind=Kind.PEOPLE_COUNTER,
    ),
    DeviceModel(
        "C1410", "Network Mini Speaker", "11.11.192", "11.11", "Oct 02 2025 11:27", "8D2", "armv7hf", "i.MX6SX",
        "B8A44F", audio=True, sd_card=False, kind=Kind.SPEAKER,
    ),
    DeviceModel(
        "Q1941-E", "Thermal Camera", "9.80.2.2", "9.80", "Apr 29 2020 06:50", "72C", "armv7hf", "Axis Artpec-6",
        "ACCC8E", resolutions=_SMALL, audio=True, io_ports=2,
    ),
    DeviceModel(
        "M1114", "Network Camera", "5.51.7", "5.51", "Oct 16 2020 10:12", "15A", "mips", "Axis Artpec-3", "00408C",
        resolutions=_SMALL, sd_card=False, io_ports=1,
    ),
)  # fmt: skip

MODELS: dict[str, DeviceModel] = {model.number: model for model in _MODELS}


@dataclass(frozen=True)
class DeviceDescription:
    """One device of a site. What is left out is filled in by the simulator (`None` ports: the next free ones).

    `parameters` overrides or adds parameters (names without `root.`).
    """

    model: DeviceModel
    serial: str
    username: str = USERNAME
    password: str = field(default=PASSWORD, repr=False)
    factory_default: bool = False
    address: str | None = None
    http_port: int | None = None
    https_port: int | None = None
    name: str | None = None
    boot_seconds: float = 3.0
    install_seconds: float = 0.5
    fault: str = "none"
    clock_offset: float = 0.0  # seconds its clock is ahead of ours
    parameters: dict[str, str] = field(default_factory=dict)


def serial_for(model: DeviceModel, index: int, site: str = "") -> str:
    """A serial number that stays the same from run to run; sites of other names have other ones."""
    digest = hashlib.sha256(f"{site}{model.number}/{index}".encode()).hexdigest().upper()
    return model.oui + digest[: 12 - len(model.oui)]


def find_model(name: str) -> DeviceModel:
    wanted = name.strip().upper().removeprefix("AXIS ")
    for number, model in MODELS.items():
        if number.upper() == wanted:
            return model
    close = get_close_matches(wanted, [number.upper() for number in MODELS], n=1, cutoff=0.3)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise FarsiteError(
        ErrorCode.NOT_FOUND, f"No simulated model is called {name!r}.{hint} There are {', '.join(MODELS)}."
    )


def describe(
    count: int,
    models: Sequence[str] = (),
    *,
    factory_default: int = 0,
    username: str = USERNAME,
    password: str = PASSWORD,
    site: str = "",
) -> list[DeviceDescription]:
    """A site of `count` devices that takes the models in turn; the last `factory_default` of them are new.

    Two sites that announce themselves on one network need different names: serial numbers follow from them.
    """
    if not 1 <= count <= MAX_DEVICES:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"A site has 1 to {MAX_DEVICES} simulated devices.")
    chosen = [find_model(name) for name in models] or list(MODELS.values())
    return [
        DeviceDescription(
            model=chosen[index % len(chosen)],
            serial=serial_for(chosen[index % len(chosen)], index, site),
            username=username,
            password=password,
            factory_default=index >= count - factory_default,
        )
        for index in range(count)
    ]


def load(path: Path) -> list[DeviceDescription]:
    """A site from TOML: `[[device]]` tables with the fields of `DeviceDescription`, `model` by its name."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("device", [])
    except (OSError, ValueError) as error:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"{path}: {error}.") from None
    if not isinstance(tables, list) or not tables:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"{path} names no device: add a [[device]] table.")
    return [_from_table(table, index, path) for index, table in enumerate(tables)]


def _from_table(table: dict[str, Any], index: int, path: Path) -> DeviceDescription:
    given = dict(table)
    model = find_model(str(given.pop("model", "")))
    changed = {name: given.pop(name) for name in ("version", "generation") if name in given}
    if changed.get("generation", model.generation) not in GENERATIONS:
        detail = f"{path}: generation is one of {', '.join(GENERATIONS)}."
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail)
    known = set(DeviceDescription.__dataclass_fields__) - {"model"}
    for name in given.keys() - known:
        close = get_close_matches(name, known, n=1)
        hint = f" The closest known one is {close[0]}." if close else ""
        raise FarsiteError(ErrorCode.SETTING_UNKNOWN, f"{path}: unknown entry {name}.{hint}")
    given.setdefault("serial", serial_for(model, index))
    for name, value in given.items():
        _check_entry(name, value, path)
    return DeviceDescription(model=replace(model, **changed), **given)


def _check_entry(name: str, value: object, path: Path) -> None:
    expected: type = {
        "factory_default": bool,
        "http_port": int,
        "https_port": int,
        "boot_seconds": float,
        "install_seconds": float,
        "clock_offset": float,
        "parameters": dict,
    }.get(name, str)
    good = type(value) is expected
    if good and name == "serial":
        good = re.fullmatch("[0-9A-F]{12}", str(value)) is not None
    if good and name == "fault":
        good = value in FAULTS
    if good and isinstance(value, float):
        good = abs(value) <= 10**9 if name == "clock_offset" else 0 <= value <= 3600
    if good and isinstance(value, dict):
        good = all(isinstance(one, str) for one in value.values())
    if not good:
        what = {
            "serial": "12 hex digits in upper case",
            "parameters": "a table of texts",
            "fault": f"one of {', '.join(FAULTS)}",
        }
        raise FarsiteError(
            ErrorCode.SETTING_INVALID,
            f"{path}: {name} must be {what.get(name, f'of type {expected.__name__}')}.",
        )
