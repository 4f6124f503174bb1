"""Settings of the cloud: flag, then `FARSITE_…`, then file (TOML), then default."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
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

PREFIX = "FARSITE_"
# Variables of the other commands share the beginning.
_OTHERS = ("EDGE_", "CLIENT_", "SIMULATOR_", "DEMO_", "TEST_")
_TURN_CONFIG_ONLY = {
    "FARSITE_TURN_REALM",
    "FARSITE_TURN_DATA_DIR",
    "FARSITE_TURN_USER",
    "FARSITE_TURN_COTURN",
}
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 (with TLS only)


def _split(value: Any) -> Any:
    """Lists may be written as `a, b`."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Texts = Annotated[list[str], NoDecode, BeforeValidator(_split)]


def default_data_dir() -> Path:
    return platformdirs.user_data_path("farsite-cloud", appauthor=False)


class CloudSettings(BaseSettings):
    """Without TLS the default is this machine alone on 8080: passwords do not travel in clear by accident."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="database, keys and secrets")
    bind: str = Field(default="", description="address to listen on (127.0.0.1; with TLS every one)")
    port: Port | None = Field(
        default=None, description="port to listen on (8080; with TLS 443); 0: any free one"
    )
    tls_certificate: Path | None = Field(default=None, description="PEM chain of the server's certificate")
    tls_key: Path | None = Field(default=None, description="PEM private key of that certificate")
    public_url: str | None = Field(default=None, description="address everybody reaches this cloud at")
    trusted_proxies: Texts = Field(
        default_factory=list, description="addresses or networks whose X-Forwarded-For is believed"
    )
    owner_email: str = Field(
        default="owner@localhost", min_length=3, max_length=254, description="first run: the owner's address"
    )
    owner_password: SecretStr | None = Field(
        default=None, description="first run: the owner's password (else one is made)"
    )
    organization: str = Field(
        default="My organization", min_length=1, max_length=100, description="first run: its name"
    )
    turn: Literal["auto", "off", "external"] = Field(
        default="auto", description="relay: run coturn when installed, none, or one run elsewhere"
    )
    turn_host: str | None = Field(default=None, description="name or address of the relay (the public URL's)")
    turn_secret: SecretStr | None = Field(default=None, description="secret shared with an external relay")
    turn_listening_ip: Texts = Field(default_factory=list, description="addresses the relay listens on")
    turn_external_ip: str | None = Field(default=None, description="relay behind 1:1 NAT: its public address")
    turn_port: Port = Field(default=3478, description="relay, UDP and TCP; 0 closes it")
    turn_tls_port: Port = Field(default=5349, description="relay, TLS; 0 closes it")
    turn_alt_tls_port: Port = Field(default=0, description="relay, TLS once more (443); 0 closes it")
    turn_certificate: Path | None = Field(default=None, description="relay's PEM chain (else one is made)")
    turn_key: Path | None = Field(default=None, description="relay's PEM private key")
    turn_min_port: Port = Field(default=49152, description="first relay port")
    turn_max_port: Port = Field(default=65535, description="last relay port")
    turn_allowed_peer: Texts = Field(
        default_factory=list, description="exceptions to the relay's denied ranges"
    )
    turn_allow_loopback: bool = Field(default=False, description="relay to this machine itself: trials only")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("owner_email")
    @classmethod
    def _email(cls, value: str) -> str:
        if "@" not in value or any(character.isspace() for character in value):
            raise ValueError("not an e-mail address")
        return value.lower()

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, values: list[str]) -> list[str]:
        return [str(ipaddress.ip_network(value, strict=False)) for value in values]

    @model_validator(mode="after")
    def _together(self) -> CloudSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.turn == "external" and (self.turn_host is None or self.turn_secret is None):
            raise ValueError("turn=external needs turn_host and turn_secret")
        return self

    @property
    def tls(self) -> bool:
        return self.tls_certificate is not None

    @property
    def listen_address(self) -> str:
        return self.bind or (EVERYWHERE if self.tls else LOOPBACK)

    @property
    def listen_port(self) -> int:
        return self.port if self.port is not None else (443 if self.tls else 8080)

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
) -> CloudSettings:
    """Raises `FarsiteError`: `setting_unknown` naming the closest known one, `setting_invalid`."""
    environ = os.environ if environ is None else environ
    _refuse_unknown_variables(environ)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values = _from_file(file) | _from_environment(environ) | given
    for name in given:
        _refuse_unknown(name, name, set(CloudSettings.model_fields), "")
    try:
        return CloudSettings(**values)
    except ValidationError as error:
        raise _invalid(error) from None


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    if not file.is_file():
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"There is no settings file {file}.")
    try:
        values = dict(TomlConfigSettingsSource(CloudSettings, file)())
    except (ValueError, OSError) as error:
        detail = f"The settings file {file} cannot be read: {error}"
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail) from None
    for name in values:
        _refuse_unknown(name, name, set(CloudSettings.model_fields), f" in {file}")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    class Source(EnvSettingsSource):
        def _load_env_vars(self) -> Mapping[str, str | None]:
            return {name.lower(): value for name, value in environ.items()}

    return dict(Source(CloudSettings)())


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in CloudSettings.model_fields}
    theirs = tuple(PREFIX + other for other in _OTHERS)
    for variable in environ:
        name = variable.upper()
        if name.startswith(PREFIX) and not name.startswith(theirs) and name not in _TURN_CONFIG_ONLY:
            _refuse_unknown(name, variable, known, " in the environment")


def _refuse_unknown(name: str, shown: str, known: set[str], where: str) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise FarsiteError(ErrorCode.SETTING_UNKNOWN, f"There is no setting {shown!r}{where}.{hint}")


def _invalid(error: ValidationError) -> FarsiteError:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return FarsiteError(ErrorCode.SETTING_INVALID, f"Settings: {message}.")
    name = str(first["loc"][0])
    return FarsiteError(ErrorCode.SETTING_INVALID, f"Setting {name!r} ({PREFIX}{name.upper()}): {message}.")
