"""A device as it is stored."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from farsite_signaling.wire.edge_api import Device, DeviceState
from farsite_signaling.wire.ids import Id

MAX_TEXT = 200
MAX_ADDRESSES = 16


class Found(Protocol):
    """What a discovery answer gives; `by` names the ways it was found by."""

    @property
    def serial(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def http_port(self) -> int | None: ...
    @property
    def https_port(self) -> int | None: ...
    @property
    def by(self) -> object: ...
    @property
    def model(self) -> str | None: ...
    @property
    def product(self) -> str | None: ...
    @property
    def device_type(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...
    @property
    def brand(self) -> str | None: ...
    @property
    def setup_required(self) -> bool | None: ...


class Sighting(BaseModel):
    """Where somebody says to be a device, without proof."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: str
    http_port: int = 80
    https_port: int | None = None


class DeviceRecord(BaseModel):
    """`pin` is the SHA-256 of the TLS certificate first seen, `shown_pin` another one it shows now; `log_in` tells
    that credentials are kept. `next_pin` is one it may show
    from now on because we told it to. `elsewhere`: a managed device seems to be at another address."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Id
    managed: bool = False
    state: DeviceState = DeviceState.DISCOVERED
    address: str
    http_port: int = 80
    https_port: int | None = None
    addresses: list[str] = Field(default_factory=list)
    model: str = ""
    product: str = ""
    device_type: str = ""
    version: str = ""
    hostname: str = ""
    brand: str = ""
    found_by: list[str] = Field(default_factory=list)
    setup_required: bool = False
    pin: str | None = None
    shown_pin: str | None = None
    next_pin: str | None = None
    elsewhere: Sighting | None = None
    tags: list[str] = Field(default_factory=list)
    service_account: bool = False
    password_changed_at: datetime | None = None
    log_in: bool = False
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    last_error: str | None = None

    @property
    def other_make(self) -> bool:
        """Only what says so is of another maker: old firmware does not name one."""
        return self.brand.casefold() not in ("", "axis")

    def shown(self) -> Device:
        moved = self.elsewhere.address if self.elsewhere else None
        return Device.model_validate(
            self.model_dump(exclude={"elsewhere", "next_pin", "brand"})
            | {"fingerprint": self.pin, "new_fingerprint": self.shown_pin, "seen_at": moved}
        )


def short(value: object) -> str:
    """Texts of devices are hostile: printable and bounded."""
    text = str(value or "")[: MAX_TEXT * 2]
    return "".join(character for character in text if character.isprintable())[:MAX_TEXT]
