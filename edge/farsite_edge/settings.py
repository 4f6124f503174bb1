"""Settings of an edge host: flag, then `FARSITE_EDGE_…`, then file (TOML), then default.

What a user changes while it runs (name, remote access, proxy address) lives in the store instead; the settings
here of the same name only start it off.
"""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.lan import LAN_GROUP, LAN_PORT

PREFIX = "FARSITE_EDGE_"


def _split(value: Any) -> Any:
    """Lists may be written as `a, b` in the environment."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Texts = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Ports = Annotated[list[Port], NoDecode, BeforeValidator(_split)]


def default_data_dir() -> Path:
    return platformdirs.user_data_path("farsite-edge", appauthor=False)


def default_name() -> str:
    return socket.gethostname().split(".")[0] or "edge host"


class EdgeSettings(BaseSettings):
    """Times are seconds. Port 0 means any free port."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="where keys and the database live")
    name: str = Field(default_factory=default_name, min_length=1, max_length=100)
    bind: Texts = Field(default_factory=list, description="addresses to listen on; empty: all")
    http_port: Port = Field(default=37080, description="discovery by HTTP")
    https_port: Port = Field(default=37443, description="the API on the LAN")
    multicast: bool = Field(default=True, description="answer discovery by multicast")
    multicast_port: Port = LAN_PORT
    multicast_group: str = LAN_GROUP
    allowed_hosts: Texts = Field(
        default_factory=list, description="further host names this edge host is called by"
    )
    cloud_ca: Path | None = Field(default=None, description="PEM file to trust for cloud and hub")
    turn_ca: Path | None = Field(default=None, description="PEM file to trust for TURN over TLS")
    allow_http_cloud: bool = Field(
        default=False, description="claim over unprotected http:// to a cloud on another machine"
    )
    offer_loopback: bool = Field(default=False, description="offer loopback addresses to peers (trials)")
    proxy_address: SecretStr | None = Field(default=None, description="http:// or socks5:// on first start")
    discovery_interval: float = Field(default=300.0, gt=0)
    discovery_timeout: float = Field(default=3.0, gt=0, le=60)
    discovery_multicast: bool = True
    discovery_interfaces: Texts = Field(
        default_factory=list, description="own addresses to search by multicast on; empty: all but loopback"
    )
    discovery_targets: Texts = Field(default_factory=list, description="addresses, ranges, subnets to probe")
    discovery_ports: Ports = Field(default_factory=lambda: [80, 443], max_length=16)
    poll_interval: float = Field(default=60.0, gt=0)
    refresh_interval: float = Field(default=86400.0, gt=0, description="between full reads of a device")
    device_timeout: float = Field(default=15.0, gt=0, le=300)
    log_in_interval: float = Field(
        default=5.0, ge=0, description="least time between log-in attempts on one device"
    )
    report_interval: float = Field(default=60.0, gt=0)
    transfer_limit: int = Field(default=1024**3, gt=0, description="bytes of one diagnostics transfer")
    shutdown_timeout: float = Field(default=5.0, ge=0, description="how long streams may end by themselves")
    allow_loopback_devices: bool = Field(
        default=False, description="accept devices at this machine's own addresses (simulator)"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load_settings` reads the other sources itself: the file is named by a flag.
        return (init_settings,)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> EdgeSettings:
    """Raises `FarsiteError`: `setting_unknown` naming the closest known one, `setting_invalid`."""
    environ = os.environ if environ is None else environ
    _refuse_unknown_variables(environ)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values = _from_file(file) | _from_environment(environ) | given
    try:
        return EdgeSettings(**values)
    except ValidationError as error:
        raise _invalid(error) from None


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    if not file.is_file():
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"There is no settings file {file}.")
    try:
        values = dict(TomlConfigSettingsSource(EdgeSettings, file)())
    except (ValueError, OSError) as error:
        raise FarsiteError(
            ErrorCode.SETTING_INVALID, f"The settings file {file} cannot be read: {error}"
        ) from None
    for name in values:
        _refuse_unknown(name, name, set(EdgeSettings.model_fields), f" in {file}")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    class Source(EnvSettingsSource):
        def _load_env_vars(self) -> Mapping[str, str | None]:
            return {name.lower(): value for name, value in environ.items()}

    return dict(Source(EdgeSettings)())


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in EdgeSettings.model_fields}
    for variable in environ:
        if variable.upper().startswith(PREFIX):
            _refuse_unknown(variable.upper(), variable, known, " in the environment")


def _refuse_unknown(name: str, shown: str, known: set[str], where: str) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise FarsiteError(ErrorCode.SETTING_UNKNOWN, f"There is no setting {shown!r}{where}.{hint}")


def _invalid(error: ValidationError) -> FarsiteError:
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, EdgeSettings.model_fields, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return FarsiteError(ErrorCode.SETTING_UNKNOWN, f"There is no setting {name!r}.{hint}")
    return FarsiteError(
        ErrorCode.SETTING_INVALID, f"Setting {name!r} ({PREFIX}{name.upper()}): {first['msg']}."
    )
