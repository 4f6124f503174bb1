"""`network_settings.cgi` (API id `network-settings`, AXIS OS 8.50 and newer) and, before it, `Network.*` parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, ip_address
from typing import Any

from farsite_edge.vapix import json_api
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.ipv6 import OFF, read_ipv6
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean

PATH = "/axis-cgi/network_settings.cgi"
PARAMETER_GROUPS = ("Network",)
MAX_ADDRESSES = 32
STATIC, DHCP = "static", "dhcp"


@dataclass(frozen=True)
class IPv4Settings:
    """`mode` is `static` or `dhcp`; `address`, `prefix` and `router` are those configured, or given by DHCP."""

    mode: str
    address: str = ""
    prefix: int = 0
    router: str = ""


@dataclass(frozen=True)
class NetworkInfo:
    """Of the first wired interface. `addresses` are all it has, with their prefix."""

    interface: str
    ipv4: IPv4Settings
    addresses: tuple[str, ...] = ()
    mac: str = ""
    hostname: str = ""
    name_servers: tuple[str, ...] = ()
    ipv6: bool = False
    by_api: bool = True  # False: read from, and to be written to, parameters


_ABOUT = {"macAddress", "IPv4", "IPv6", "link", "wired"}
"""What an interface has some of; other APIs have `devices`, too."""


class GetNetworkInfo(ApiRequest[NetworkInfo]):
    path = PATH
    content_type = json_api.JSON

    def body(self) -> bytes:
        return json_api.build("getNetworkInfo")

    def parse(self, answer: Answer) -> NetworkInfo:
        data = json_api.parse(answer)
        devices = data.get("devices")
        found = [one for one in devices[:16] if isinstance(one, dict)] if isinstance(devices, list) else []
        if not found or not any(_ABOUT & one.keys() for one in found):
            raise bad_answer("network settings without an interface")
        # Wireless models list the wired interface too; the one that carries addresses is meant.
        device = next((one for one in found if _addresses(_table(one, "IPv4"))), found[0])
        system = _table(data, "system")
        ipv4 = _table(device, "IPv4")
        return NetworkInfo(
            interface=clean(device.get("name"), 32) or "eth0",
            ipv4=_ipv4(ipv4),
            addresses=tuple(_addresses(ipv4) + _addresses(_table(device, "IPv6"))),
            mac=clean(device.get("macAddress"), 32),
            hostname=clean(_table(system, "hostname").get("hostname"), 64),
            name_servers=_texts(_table(system, "resolver").get("nameServers")),
            ipv6=_table(device, "IPv6").get("enabled") is True,
        )


def _ipv4(ipv4: Mapping[str, Any]) -> IPv4Settings:
    static = clean(ipv4.get("configurationMode"), 16) == STATIC
    listed = ipv4.get("staticAddressConfigurations" if static else "addresses")
    entries = (
        [one for one in listed[:MAX_ADDRESSES] if isinstance(one, dict)] if isinstance(listed, list) else []
    )
    entry = next((one for one in entries if one.get("origin") != "linkLocal"), {})
    router = clean(ipv4.get("staticDefaultRouter" if static else "defaultRouter"), 64)
    return IPv4Settings(
        STATIC if static else DHCP,
        clean(entry.get("address"), 64),
        _prefix(entry.get("prefixLength")),
        router,
    )


def _addresses(settings: Mapping[str, Any]) -> list[str]:
    listed = settings.get("addresses")
    entries = (
        [one for one in listed[:MAX_ADDRESSES] if isinstance(one, dict)] if isinstance(listed, list) else []
    )
    return [
        f"{address}/{_prefix(one.get('prefixLength'))}"
        for one in entries
        if (address := _address(clean(one.get("address"), 64)))
    ]


def _address(text: str) -> str:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


def _prefix(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 128 else 0


def _table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(clean(one, 64) for one in value[:8] if clean(one, 64)) if isinstance(value, list) else ()


class SetIPv4(ApiRequest[None]):
    """The answer comes before the change; the device puts back what it cannot apply."""

    path = PATH
    content_type = json_api.JSON

    def __init__(self, interface: str, settings: IPv4Settings) -> None:
        self.interface = interface
        self.settings = settings

    def body(self) -> bytes:
        params: dict[str, Any] = {"deviceName": self.interface, "configurationMode": self.settings.mode}
        if self.settings.mode == STATIC:
            entry = {"address": self.settings.address, "prefixLength": self.settings.prefix}
            params["staticAddressConfigurations"] = [entry]
            params["staticDefaultRouter"] = self.settings.router
        return json_api.build("setIPv4AddressConfiguration", params)

    def parse(self, answer: Answer) -> None:
        json_api.parse(answer)


class SetHostName(ApiRequest[None]):
    path = PATH
    content_type = json_api.JSON

    def __init__(self, name: str) -> None:
        self.name = name

    def body(self) -> bytes:
        return json_api.build(
            "setHostnameConfiguration", {"useDhcpHostname": False, "staticHostname": self.name}
        )

    def parse(self, answer: Answer) -> None:
        json_api.parse(answer)


class SetNameServers(ApiRequest[None]):
    path = PATH
    content_type = json_api.JSON

    def __init__(self, servers: tuple[str, ...]) -> None:
        self.servers = servers

    def body(self) -> bytes:
        params = {"useDhcpResolverInfo": False, "staticNameServers": list(self.servers)}
        return json_api.build("setResolverConfiguration", params)

    def parse(self, answer: Answer) -> None:
        json_api.parse(answer)


def host_name_parameters(name: str) -> dict[str, str]:
    return {"Network.VolatileHostName.ObtainFromDHCP": "no", "Network.HostName": name}


def name_server_parameters(servers: tuple[str, ...]) -> dict[str, str]:
    first, second = (*servers, "", "")[:2]
    return {
        "Network.Resolver.ObtainFromDHCP": "no",
        "Network.DNSServer1": first,
        "Network.DNSServer2": second or "0.0.0.0",  # noqa: S104  # their word for none
    }


def from_parameters(values: Mapping[str, str]) -> NetworkInfo:
    """For firmware before 8.50."""
    get = {name.removeprefix("Network."): value for name, value in values.items()}.get
    mode = DHCP if get("BootProto", "") == DHCP else STATIC
    address = get("IPAddress" if mode == STATIC else "eth0.IPAddress") or get("IPAddress") or ""
    mask = get("SubnetMask" if mode == STATIC else "eth0.SubnetMask") or get("SubnetMask") or ""
    router = get("DefaultRouter" if mode == STATIC else "Routing.DefaultRouter") or get("DefaultRouter") or ""
    prefix, ipv6 = prefix_of(mask), read_ipv6(values)
    own = (f"{address}/{prefix}",) if _address(address) else ()
    return NetworkInfo(
        interface="eth0",
        ipv4=IPv4Settings(mode, clean(address, 64), prefix, clean(router, 64)),
        addresses=own + (ipv6.addresses if ipv6 else ()),
        mac=clean(get("eth0.MACAddress", ""), 32),
        hostname=clean(get("HostName", ""), 64),
        name_servers=tuple(
            text
            for name in ("DNSServer1", "DNSServer2")
            if (text := clean(get(f"Resolver.{name}") or get(name, ""), 64))
        ),
        ipv6=ipv6 is not None and ipv6.settings.mode != OFF,
        by_api=False,
    )


def to_parameters(settings: IPv4Settings) -> dict[str, str]:
    if settings.mode == DHCP:
        return {"Network.BootProto": DHCP}
    interface = IPv4Interface(f"{settings.address}/{settings.prefix}")
    return {
        "Network.BootProto": "none",
        "Network.IPAddress": settings.address,
        "Network.SubnetMask": str(interface.netmask),
        "Network.Broadcast": str(interface.network.broadcast_address),
        "Network.DefaultRouter": settings.router,
    }


def prefix_of(mask: str) -> int:
    try:
        return IPv4Network(f"0.0.0.0/{mask}").prefixlen
    except ValueError:
        return 0
