"""REST schemas of apps on devices (`/api/v1/app-packages`, `/api/v1/devices/{id}/apps`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, SecretStr

from farsite_signaling.wire.schema import _Request, _Schema

AppAction = Literal["start", "stop", "restart"]
MAX_LICENCE = 64 * 1024
APP_NAME = r"^[A-Za-z0-9_-]{1,64}$"


class AppPackage(_Schema):
    """A file of the operator's folder. `problem` tells why one cannot be used; `requires` and `until` are the oldest and
    newest AXIS OS, where the package says."""

    id: str = Field(description="SHA-256 of the file, hex")
    file: str
    bytes: int
    name: str = ""
    title: str = ""
    vendor: str = ""
    version: str = ""
    architecture: str = ""
    requires: str = ""
    until: str = ""
    signed: bool = False
    problem: str | None = None


class AppPackages(_Schema):
    folder: str
    packages: list[AppPackage]


class AppStatus(StrEnum):
    """`idle`: it runs when it is needed."""

    RUNNING = "running"
    STOPPED = "stopped"
    IDLE = "idle"
    UNKNOWN = "unknown"


class DeviceApp(_Schema):
    """`license` is the device's word: Valid, Invalid, Missing, Custom, None; `signed` null: it does not say."""

    name: str
    title: str = ""
    vendor: str = ""
    version: str = ""
    status: AppStatus = AppStatus.UNKNOWN
    license: str = ""
    license_expires: str = ""
    bundled: bool = False
    signed: bool | None = None


class DeviceApps(_Schema):
    apps: list[DeviceApp]


class AppControl(_Request):
    action: AppAction


class AppLicence(_Request):
    """The licence key file of the app's vendor, as it is; a key belongs to one device."""

    key: SecretStr = Field(min_length=1, max_length=MAX_LICENCE)
