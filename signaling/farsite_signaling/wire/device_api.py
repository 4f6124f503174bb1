"""REST schemas of what is done to devices as tasks, and of what one device tells of itself."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Interface
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, model_validator

from farsite_signaling.wire.edge_api import Device
from farsite_signaling.wire.edge_tasks import MAX_DEVICES, Rollout
from farsite_signaling.wire.ids import Id, Name
from farsite_signaling.wire.schema import _Request, _Schema

MAX_CREDENTIALS = 5
MAX_TAGS = 50
Tag = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f,]+$")
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=64)]


class _ForDevices(_Request):
    ids: list[Id] = Field(min_length=1, max_length=MAX_DEVICES)
    rollout: Rollout = Field(default_factory=lambda: Rollout(parallel=16, max_failures=MAX_DEVICES))


class Credential(_Request):
    username: Name = Field(min_length=1, max_length=64)
    password: SecretStr = Field(max_length=64)


class LogInTask(_ForDevices):
    """The credentials are tried one after the other, slowly enough that no device locks the edge host out."""

    credentials: list[Credential] = Field(min_length=1, max_length=MAX_CREDENTIALS)


class SetUpTask(_ForDevices):
    """First account of factory-new devices. Without a password each gets one of its own, which the edge host keeps."""

    username: str = Field(default="root", min_length=1, max_length=14, pattern="^[a-zA-Z0-9]+$")
    password: Password | None = None


class RotateTask(_ForDevices):
    """Another password for the account in use; without one each device gets its own, made up by the edge host."""

    password: Password | None = None


class ServiceAccountTask(_ForDevices):
    """An administrator's account of the edge host's own, with a name and password made up; the one in use is left
    as it is."""


class RestartTask(_ForDevices):
    """Waits until the device is back."""


class FactoryDefaultTask(_ForDevices):
    """`soft` keeps the network settings, `hard` nothing. `confirm` repeats how many devices are meant."""

    mode: Literal["soft", "hard"] = "soft"
    confirm: int = Field(description="the number of devices: they lose their settings and accounts")

    @model_validator(mode="after")
    def _confirmed(self) -> FactoryDefaultTask:
        if self.confirm != len(set(self.ids)):
            raise ValueError(
                f"confirm must be {len(set(self.ids))}, the number of devices that lose their settings"
            )
        return self


class ParametersTask(_ForDevices):
    """The same values for many devices, each read back."""

    values: dict[str, str] = Field(min_length=1, max_length=100)


class NetworkTask(_Request):
    """The IPv4 settings of one device. When it does not come back at the new address, the former settings are put
    back as soon as it is found anywhere."""

    mode: Literal["static", "dhcp"]
    address: str | None = Field(
        default=None, max_length=20, description="with prefix, such as 192.168.1.20/24"
    )
    router: str | None = Field(default=None, max_length=15)

    @model_validator(mode="after")
    def _complete(self) -> NetworkTask:
        if self.mode == "dhcp":
            if self.address or self.router:
                raise ValueError(
                    "with dhcp the device gets address and router from the network: leave them out"
                )
            return self
        self._check_static()
        return self

    def _check_static(self) -> None:
        if not self.address or "/" not in self.address:
            raise ValueError("static needs an address with its prefix, such as 192.168.1.20/24")
        interface = IPv4Interface(self.address)
        network, ip = interface.network, interface.ip
        outer = network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address)
        if outer or ip.is_multicast or ip.is_unspecified or not 1 <= network.prefixlen <= 32:
            raise ValueError(f"{self.address} is not an address a device can have")
        if self.router and (
            IPv4Interface(self.router).ip not in network or IPv4Interface(self.router).ip == ip
        ):
            raise ValueError(
                f"the router {self.router} is not in {network}, so the device could not reach it"
            )


class NetworkSettings(_Schema):
    interface: str
    mode: str
    address: str = Field(default="", description="with prefix")
    router: str = ""
    addresses: list[str] = Field(default_factory=list)
    mac: str = ""
    hostname: str = ""
    name_servers: list[str] = Field(default_factory=list)
    ipv6: bool = False
    ipv6_mode: str = Field(default="", description="static, auto, off or other; empty: not known")
    ipv6_address: str = Field(default="", description="the static one, with prefix")
    ipv6_router: str = ""


class TagsChange(_Request):
    """Tags to put on devices and to take off."""

    ids: list[Id] = Field(min_length=1, max_length=MAX_DEVICES)
    add: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)
    remove: list[Tag] = Field(default_factory=list, max_length=MAX_TAGS)


class AcceptCertificate(_Request):
    """SHA-256 of the certificate the device shows now, as it was seen: `new_fingerprint` of the device."""

    fingerprint: str = Field(pattern="^([0-9a-fA-F]{2}:?){32}$")


class ApiVersion(_Schema):
    id: str
    version: str
    state: str = ""
    rest: bool = False


class DeviceDetails(_Schema):
    """What the device tells of itself; `capabilities` follow from what it offers, never from its model. What could not
    be read is named in `problems`."""

    device: Device
    full_name: str = ""
    brand: str = ""
    variant: str = ""
    hardware_id: str = ""
    architecture: str = ""
    soc: str = ""
    build_date: str = ""
    uptime: int | None = None
    boot_id: str | None = None
    account: str = ""
    account_groups: list[str] = Field(default_factory=list)
    inactive_version: str | None = None
    capabilities: list[str] = Field(default_factory=list)
    apis: list[ApiVersion] = Field(default_factory=list)
    network: NetworkSettings | None = None
    problems: list[str] = Field(default_factory=list)


class PastCredentials(_Schema):
    """Credentials used before; passwords never leave the edge host."""

    username: str
    until: datetime
    still_valid: bool = False


class CredentialsInfo(_Schema):
    """What the edge host logs in with. `unresolved`: a change was interrupted; it is looked into when the device
    answers again."""

    username: str | None = None
    service_account: bool = False
    changed_at: datetime | None = None
    unresolved: bool = False
    history: list[PastCredentials] = Field(default_factory=list)
