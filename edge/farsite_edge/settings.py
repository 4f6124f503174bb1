"""Settings of an edge host: flag, then `FARSITE_EDGE_…`, then file (TOML), then default.

What a user changes while it runs (name, remote access, proxy address) lives in the store instead; the settings
here of the same name only start it off.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from farsite_signaling.settings import PartSettings, Port, Ports, Texts, load
from farsite_signaling.wire.ids import Name
from farsite_signaling.wire.lan import LAN_GROUP, LAN_PORT

PREFIX = "FARSITE_EDGE_"


def default_data_dir() -> Path:
    return platformdirs.user_data_path("farsite-edge", appauthor=False)


def default_name() -> str:
    return socket.gethostname().split(".")[0] or "edge host"


class EdgeSettings(PartSettings):
    """Times are seconds. Port 0 means any free port."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="where keys and the database live")
    name: Name = Field(default_factory=default_name, min_length=1, max_length=100)
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
    rtsp_port: int = Field(
        default=554,
        ge=1,
        le=65535,
        description="where devices serve RTSP that do not say (Network.RTSP.Port)",
    )
    discovery_interfaces: Texts = Field(
        default_factory=list, description="own addresses to search by multicast on; empty: all but loopback"
    )
    discovery_targets: Texts = Field(default_factory=list, description="addresses, ranges, subnets to probe")
    discovery_ports: Ports = Field(default_factory=lambda: [80, 443], max_length=16)
    discovery_rate: int = Field(
        default=2000, ge=10, le=50_000, description="connections begun in a second while probing addresses"
    )
    poll_interval: float = Field(default=60.0, gt=0)
    restart_timeout: float = Field(
        default=900.0, gt=0, le=7200, description="until a device is back after a restart"
    )
    restart_poll_interval: float = Field(default=3.0, gt=0, le=60, description="while a device is waited for")
    address_change_timeout: float = Field(
        default=90.0, gt=0, le=3600, description="until a device answers at its new address"
    )
    address_settle_time: float = Field(default=5.0, ge=0, le=60, description="before it is asked there")
    refresh_interval: float = Field(default=86400.0, gt=0, description="between full reads of a device")
    device_timeout: float = Field(default=15.0, gt=0, le=300)
    log_in_interval: float = Field(
        default=5.0, ge=0, description="least time between log-in attempts on one device"
    )
    report_interval: float = Field(default=60.0, gt=0)
    transfer_limit: int = Field(default=1024**3, gt=0, description="bytes of one diagnostics transfer")
    shutdown_timeout: float = Field(default=5.0, ge=0, description="how long streams may end by themselves")
    resume_timeout: float = Field(
        default=900.0,
        ge=0,
        le=900,
        description="how long streams wait for a client that sleeps or lost its way",
    )
    tunnel_workers: Literal["auto", "off"] = Field(
        default="auto", description="auto: a process for each session where the system can; off: one for all"
    )
    tunnel_limit: int = Field(default=64, ge=1, le=1000, description="remote sessions at the same time")
    tunnel_memory: int = Field(
        default=512, ge=0, le=65536, description="MiB a session's process may take; 0: as much as it wants"
    )
    time_zone: str = Field(
        default="", max_length=64, description="of the site, IANA name; empty: this machine's"
    )
    task_parallel: int = Field(default=8, ge=1, le=64, description="devices worked on at the same time")
    os_images: Path | None = Field(
        default=None, description="folder of AXIS OS images; without it images in the data folder"
    )
    os_catalogue: str = Field(
        default="", max_length=2000, description="address of an index of AXIS OS images; empty: none"
    )
    os_catalogue_key: str = Field(
        default="", max_length=100, description="Ed25519 public key (base64) that signs the index"
    )
    os_catalogue_interval: float = Field(default=86400.0, ge=60, description="between fetches of the index")
    os_downloads_limit: int = Field(
        default=8 * 1024**3, gt=0, description="bytes of downloaded images; the oldest give way"
    )
    apps: Path | None = Field(
        default=None, description="folder of app packages (.eap); without it apps in the data folder"
    )
    os_poll_interval: float = Field(default=5.0, gt=0, le=60, description="while a device restarts")
    os_restart_timeout: float = Field(
        default=900.0, gt=0, description="until a device is back after an upgrade"
    )
    os_rollback_minutes: int = Field(
        default=30, ge=1, le=120, description="until a device goes back that was not committed"
    )
    policy_interval: float = Field(
        default=3600.0, gt=0, description="between checks of a device against its policies"
    )
    policy_poll: float = Field(
        default=15.0, gt=0, le=600, description="between looks for devices whose policies are to be checked"
    )
    policy_recover_timeout: float = Field(
        default=180.0, gt=0, description="until a change after which a device is silent is undone"
    )
    allow_loopback_devices: bool = Field(
        default=False, description="accept devices at this machine's own addresses (simulator)"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> EdgeSettings:
    """Raises `FarsiteError`: `setting_unknown` naming the closest known one, `setting_invalid`."""
    return load(EdgeSettings, flags, file=file, environ=environ)
