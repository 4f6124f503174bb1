"""What a time policy says."""

from __future__ import annotations

import re
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import TZPATH, ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain

DHCP = "dhcp"
_HOST = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


def _server(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        if not _HOST.fullmatch(text) or text.replace(".", "").isdigit():
            raise ValueError(f"{text[:60]!r} is neither an address nor a host name") from None
    return text.lower()


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("no time zone has this name; write it like Europe/Stockholm") from None
    return text


class TimeSettings(BaseModel):
    """`servers`: `dhcp`, or up to five. `max_offset` is seconds; `set_clock`: set a clock that is further off."""

    model_config = ConfigDict(extra="forbid")

    servers: list[Annotated[str, AfterValidator(_server)]] | None = Field(
        default=None, min_length=1, max_length=5
    )
    time_zone: Annotated[str, AfterValidator(_zone)] | None = Field(default=None, max_length=64)
    max_offset: int | None = Field(default=5, ge=2, le=86_400)
    set_clock: bool = False

    @model_validator(mode="after")
    def _sensible(self) -> TimeSettings:
        if self.servers and DHCP in self.servers and len(self.servers) > 1:
            raise ValueError("servers are 'dhcp' or named, not both")
        if self.servers and len(set(self.servers)) < len(self.servers):
            raise ValueError("a time server is named twice")
        if self.set_clock and self.max_offset is None:
            raise ValueError("set_clock needs max_offset")
        if self.servers is None and self.time_zone is None and self.max_offset is None:
            raise ValueError("it asks for nothing")
        return self


def validated(settings: dict[str, Any]) -> dict[str, Any]:
    """Raises `invalid_request` naming what is wrong."""
    given = dict(settings)
    if isinstance(given.get("servers"), str):
        given["servers"] = [given["servers"]]
    try:
        found = TimeSettings.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[:5]
        said = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'settings'}: {plain(one['msg'])}" for one in wrong
        )
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"The time policy makes no sense: {said}.") from None
    return {name: value for name, value in found.items() if value is not None}


def posix_zone(name: str) -> str:
    """The rule of a zone for years to come, as devices without zone names want it; empty when it is not known (RFC 8536:
    the last line of a zone's file)."""
    _zone(name)
    for folder in [Path(path) for path in TZPATH]:
        try:
            return _footer((folder / name).read_bytes())
        except OSError:
            continue
    try:
        return _footer(files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes())
    except (OSError, ModuleNotFoundError):
        return ""


def _footer(content: bytes) -> str:
    text = content.rstrip(b"\n").rpartition(b"\n")[2]
    return text.decode("ascii") if text.isascii() and len(text) < 100 else ""
