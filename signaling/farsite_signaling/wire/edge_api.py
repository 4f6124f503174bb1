"""REST schemas of the edge host (`/api/v1`), the same on the LAN (37443) and through the tunnel."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field, SecretStr

from farsite_signaling.wire.ids import Id, Name
from farsite_signaling.wire.licence import LicenceState
from farsite_signaling.wire.schema import _Request, _Schema


class EdgeState(StrEnum):
    UNCLAIMED = "unclaimed"
    CLAIMED = "claimed"


class EdgeInfo(_Schema):
    """Answered without authentication on 37080 and in reply to a multicast query: what claiming needs."""

    product: str = "farsite-edge"
    id: str
    name: str
    state: EdgeState
    version: str
    protocol_versions: list[int]
    https_port: int
    fingerprint: str = Field(description="SHA-256 of the API's TLS certificate, colon hex")
    organization: str | None = None


class ClaimRequest(_Request):
    """POST /api/v1/claim, accepted only while unclaimed; `again` is for the machine's own administrator."""

    cloud_url: Name = Field(max_length=2000)
    code: SecretStr = Field(max_length=64)
    proxy_address: SecretStr | None = Field(default=None, max_length=500)
    remote_access: bool = False
    again: bool = False


class StorageState(StrEnum):
    """Whether an edge host can keep what happens. `damaged`: it is repaired at the next start."""

    OK = "ok"
    FULL = "full"
    READ_ONLY = "read_only"
    FAILED = "failed"
    DAMAGED = "damaged"


class EdgePorts(_Schema):
    """In use by a running edge host; 0: none."""

    https: int = 0
    http: int = 0
    multicast: int = 0


class EdgeStatus(_Schema):
    id: str
    name: str
    state: EdgeState
    version: str
    organization: str | None = None
    cloud_url: str | None = None
    cloud_state: str = Field(description="online, connecting, offline: with the reason in cloud_detail")
    cloud_detail: str = ""
    remote_access: bool
    remote_access_active: bool = Field(
        default=False,
        description="switched on, and the edge host is connected so that sessions can be opened",
    )
    sessions: int = 0
    devices_managed: int = 0
    devices_discovered: int = 0
    licence: LicenceState | None = Field(default=None, description="as the cloud told; None: it never did")
    changes_allowed: bool = Field(default=True, description="whether devices may be changed, by the licences")
    storage: StorageState = Field(
        default=StorageState.OK, description="other than ok: what is known is served, changes are refused"
    )
    storage_detail: str = ""
    ports: EdgePorts = EdgePorts()
    time: datetime


class Settings(_Schema):
    """Settings > Edge host connections. The proxy's password is never shown."""

    name: str
    remote_access: bool
    proxy_address: str | None = None


class SettingsChange(_Request):
    """Fields left out stay. An empty proxy_address removes it."""

    name: Name | None = Field(default=None, min_length=1, max_length=100)
    remote_access: bool | None = None
    proxy_address: SecretStr | None = Field(default=None, max_length=500)


class DeviceState(StrEnum):
    """Words of the design; `discovered` devices are not managed yet."""

    DISCOVERED = "discovered"
    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    CREDENTIALS_REQUIRED = "credentials_required"
    SETUP_REQUIRED = "setup_required"
    CERTIFICATE_CHANGED = "certificate_changed"
    UPDATING = "updating"


class Device(_Schema):
    """A device as the edge host knows it. `id` is its serial number (12 hex digits, upper case)."""

    id: Id
    managed: bool
    state: DeviceState
    address: str
    http_port: int = 80
    https_port: int | None = None
    addresses: list[str] = Field(default_factory=list)
    model: str = ""
    product: str = ""
    device_type: str = ""
    version: str = ""
    hostname: str = ""
    found_by: list[str] = Field(default_factory=list)
    setup_required: bool = False
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    last_error: str | None = None
    log_in: bool = Field(default=False, description="the edge host keeps credentials for it")
    service_account: bool = Field(default=False, description="they are of an account of the edge host's own")
    password_changed_at: datetime | None = None
    tags: list[str] = Field(default_factory=list)
    seen_at: str | None = Field(default=None, description="another address it seems to have; not verified")
    fingerprint: str | None = Field(default=None, description="SHA-256 of its TLS certificate, remembered")
    new_fingerprint: str | None = Field(
        default=None, description="of the certificate it shows now, while that is not accepted"
    )


class DeviceList(_Schema):
    """`total`: devices that match, on all pages."""

    devices: list[Device]
    next_cursor: str | None = None
    total: int | None = None


class DeviceIds(_Request):
    ids: list[Id] = Field(min_length=1, max_length=1000)


class LogInRequest(_Request):
    ids: list[Id] = Field(min_length=1, max_length=1000)
    username: Name = Field(min_length=1, max_length=64)
    password: SecretStr = Field(max_length=64)


class SetUpRequest(_Request):
    """First account of factory-new devices."""

    ids: list[Id] = Field(min_length=1, max_length=1000)
    username: str = Field(default="root", min_length=1, max_length=14, pattern="^[a-zA-Z0-9]+$")
    password: SecretStr = Field(min_length=1, max_length=64)


class DeviceResult(_Schema):
    """What happened to one device of a request for many."""

    id: str
    ok: bool
    state: DeviceState | None = None
    code: str | None = None
    detail: str | None = None


class DeviceResults(_Schema):
    results: list[DeviceResult]


class DiscoverRequest(_Request):
    """Start a discovery. `targets`: addresses, ranges (`10.0.0.1-10.0.0.9`) or subnets to probe by HTTP."""

    multicast: bool = True
    targets: list[str] = Field(default_factory=list, max_length=1000)
    ports: list[int] = Field(default_factory=list, max_length=16)
    timeout: float = Field(default=3.0, gt=0, le=60)


class DiscoverResult(_Schema):
    devices: list[Device]
    probed: int = 0
    seconds: float = 0.0
    problems: list[str] = Field(default_factory=list)


class Parameters(_Schema):
    """`param.cgi` values by full name without the `root.` prefix."""

    values: dict[str, str]


class ParametersChange(_Request):
    """With `before` only if the device still says that: else `precondition_failed`, and nothing is changed."""

    values: dict[str, str] = Field(min_length=1, max_length=100)
    before: dict[str, str] | None = Field(default=None, min_length=1, max_length=100)


class AuditRow(_Schema):
    id: str
    at: datetime
    actor: str
    action: str
    target: str = ""
    outcome: str
    session: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class AuditList(_Schema):
    rows: list[AuditRow]
    next_cursor: str | None = None


class UploadResult(_Schema):
    """POST /api/v1/diagnostics/upload: what arrived."""

    bytes: int
    sha256: str
