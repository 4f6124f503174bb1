"""Settings of the cloud: flag, then `FARSITE_…`, then file (TOML), then default."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from farsite_cloud.vault import check_key
from farsite_signaling.settings import PartSettings, Port, Texts, load
from farsite_signaling.wire.ids import Name

PREFIX = "FARSITE_"
# Variables of the other commands share the beginning.
_OTHERS = ("EDGE_", "CLIENT_", "SIMULATOR_", "DEMO_", "TEST_")
_OF_COMMANDS = {
    "FARSITE_MOVE_TO",
    "FARSITE_TURN_REALM",
    "FARSITE_TURN_DATA_DIR",
    "FARSITE_TURN_COTURN",
}
SCHEMES = {
    "database": ("postgresql://", "postgres://"),
    "redis": ("redis://", "rediss://", "unix://"),
}
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 (with TLS only)


def default_data_dir() -> Path:
    return platformdirs.user_data_path("farsite-cloud", appauthor=False)


class CloudSettings(PartSettings):
    """Without TLS the default is this machine alone on 8080: passwords do not travel in clear by accident."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="database, keys and secrets")
    database: SecretStr | None = Field(
        default=None, description="postgresql://user:password@host/name (else SQLite in the data folder)"
    )
    database_pool: int = Field(default=10, ge=1, le=500, description="PostgreSQL: connections at most")
    database_timeout: float = Field(
        default=2.0, ge=0.1, le=60, description="PostgreSQL: seconds to connect, and for a statement"
    )
    redis: SecretStr | None = Field(
        default=None, description="redis://:password@host:6379/0, shared by all processes of this cloud"
    )
    master_key: SecretStr | None = Field(
        default=None, description="base64 of the 32 bytes of master.key (else that file in the data folder)"
    )
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
    organization: Name = Field(
        default="My organization", min_length=1, max_length=100, description="first run: its name"
    )
    turn: Literal["auto", "off", "external"] = Field(
        default="auto", description="relay: run coturn when installed, none, or one run elsewhere"
    )
    turn_host: str | None = Field(default=None, description="name or address of the relay (the public URL's)")
    turn_more_hosts: Texts = Field(
        default_factory=list, description="further relays, with the same secret and ports: one may fail"
    )
    turn_secret: SecretStr | None = Field(default=None, description="secret shared with an external relay")
    turn_secret_previous: SecretStr | None = Field(
        default=None, description="relay: an old secret that is still accepted while it is being replaced"
    )
    turn_listening_ip: Texts = Field(default_factory=list, description="addresses the relay listens on")
    turn_external_ip: str | None = Field(default=None, description="relay behind 1:1 NAT: its public address")
    turn_port: Port = Field(default=3478, description="relay, UDP and TCP; 0 closes it")
    turn_tls_port: Port = Field(default=5349, description="relay, TLS; 0 closes it")
    turn_alt_tls_port: Port = Field(default=0, description="relay, TLS once more (443); 0 closes it")
    turn_certificate: Path | None = Field(default=None, description="relay's PEM chain (else one is made)")
    turn_key: Path | None = Field(default=None, description="relay's PEM private key")
    turn_min_port: Port = Field(default=49152, description="first relay port")
    turn_max_port: Port = Field(default=65535, description="last relay port")
    turn_user_quota: int = Field(
        default=24, ge=0, description="relay: allocations of one session; 0: no limit"
    )
    turn_total_quota: int = Field(default=4000, ge=0, description="relay: allocations at a time; 0: no limit")
    turn_max_bps: int = Field(
        default=0, ge=0, description="relay: bytes/s of one allocation each way; 0: no limit"
    )
    turn_credential_ttl: int = Field(
        default=3600, ge=60, le=86400, description="relay: seconds a credential is good for"
    )
    turn_user: str | None = Field(default=None, description="relay: account coturn continues as")
    turn_allowed_peer: Texts = Field(
        default_factory=list, description="exceptions to the relay's denied ranges"
    )
    turn_allow_loopback: bool = Field(default=False, description="relay to this machine itself: trials only")
    sign_up: Literal["open", "invited"] = Field(
        default="open", description="who may make an account: everybody, or invited addresses only"
    )
    sign_in_idle_days: int = Field(
        default=14, ge=1, le=3650, description="days without use after which a sign-in ends"
    )
    sign_in_days: int = Field(
        default=90, ge=1, le=3650, description="days after which a sign-in ends however much it is used"
    )
    deletion_grace_days: int = Field(
        default=30, ge=0, le=365, description="how long a deleted organization can be restored"
    )
    support_max_days: int = Field(
        default=30, ge=1, le=365, description="how long somebody may be let in as support, at most"
    )
    smtp_host: str | None = Field(default=None, description="mail server (without one mails are kept here)")
    smtp_port: Port = Field(default=587, description="port of the mail server")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="encryption to the mail server"
    )
    smtp_username: str | None = Field(default=None, description="account at the mail server")
    smtp_password: SecretStr | None = Field(default=None, description="its password")
    smtp_from: str | None = Field(default=None, description="sender of mails (farsite@ the public host)")
    smtp_ca_file: Path | None = Field(default=None, description="PEM authorities of the mail server")
    catalogue: Path | None = Field(
        default=None, description="file that tells warranty, ends of support and releases of models"
    )
    licensing: Literal["off", "on"] = Field(
        default="off",
        description="off: unlicensed self-hosting, nothing is limited; on: licences are asked for",
    )
    licence_keys: Texts = Field(
        default_factory=list, description="files with public keys of licence authorities (PEM)"
    )
    licence_trial_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="days from its beginning that an organization needs no licences",
    )
    audit_retention_days: int = Field(
        default=0, ge=0, le=36500, description="days rows of the audit log are kept; 0: for ever"
    )
    outbound_allowed: Texts = Field(
        default_factory=list, description="internal networks that webhooks and identity providers may be in"
    )
    outbound_ca_file: Path | None = Field(
        default=None, description="PEM authorities of webhooks and identity providers, beside the system's"
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="who shows it reads /metrics; without one: programs of this machine, as long as nobody else "
        "reaches this cloud",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="how much is logged"
    )

    @field_validator("database", "redis", mode="after")
    @classmethod
    def _address(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        known = SCHEMES[str(info.field_name)]
        if value is not None and not value.get_secret_value().startswith(known):
            raise ValueError(f"it begins with {' or '.join(known)}")
        return value

    @field_validator("master_key")
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_key(value.get_secret_value())
        return value

    @field_validator("owner_email", "smtp_from")
    @classmethod
    def _email(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if "@" not in value or any(character.isspace() for character in value):
            raise ValueError("not an e-mail address")
        return value.lower()

    @field_validator("trusted_proxies", "outbound_allowed")
    @classmethod
    def _networks(cls, values: list[str]) -> list[str]:
        return [str(ipaddress.ip_network(value, strict=False)) for value in values]

    @model_validator(mode="after")
    def _together(self) -> CloudSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("smtp_username and smtp_password go together")
        if self.turn == "external" and (self.turn_host is None or self.turn_secret is None):
            raise ValueError("turn=external needs turn_host and turn_secret")
        return self

    @property
    def given_key(self) -> str | None:
        return None if self.master_key is None else self.master_key.get_secret_value()

    @property
    def tls(self) -> bool:
        return self.tls_certificate is not None

    @property
    def listen_address(self) -> str:
        return self.bind or (EVERYWHERE if self.tls else LOOPBACK)

    @property
    def local_only(self) -> bool:
        """Nobody beyond this machine reaches this cloud, neither directly nor by a proxy's address."""
        by_proxy = bool(self.trusted_proxies) or not is_loopback(self.public_url)
        return is_loopback(self.listen_address) and not by_proxy

    @property
    def listen_port(self) -> int:
        return self.port if self.port is not None else (443 if self.tls else 8080)


def is_loopback(address: str | None) -> bool:
    """An address or a URL of this machine alone; none is as good."""
    if address is None:
        return True
    host = urlsplit(address).hostname if "://" in address else address
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> CloudSettings:
    """Raises `FarsiteError`: `setting_unknown` naming the closest known one, `setting_invalid`."""
    return load(CloudSettings, flags, file=file, environ=environ, foreign=_foreign)


def _foreign(variable: str) -> bool:
    return variable in _OF_COMMANDS or variable.startswith(tuple(PREFIX + other for other in _OTHERS))
