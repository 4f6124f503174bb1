"""IPv6 settings: parameters `Network.IPv6.*` on every firmware, as the JSON API only switches IPv6 on and off.

Source: developer.axis.com, network settings parameters (AXIS OS 5.00 and newer). Free of I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Interface, ip_address

from farsite_edge.vapix.errors import Refused
from farsite_edge.vapix.text import clean

PREFIX = "Network.IPv6."
PARAMETER_GROUPS = ("Network.IPv6", "Network.eth0.IPv6")
STATIC, AUTO, OFF, OTHER = "static", "auto", "off", "other"
DEFAULT_PREFIX = 64
_WRITTEN = ("Enabled", "AcceptRA", "DHCPv6", "IPAddress", "DefaultRouter")


@dataclass(frozen=True)
class IPv6Settings:
    """`mode` is `static`, `auto` (router advertisements), `off`, or `other`. `address` has its prefix."""

    mode: str
    address: str = ""
    router: str = ""


@dataclass(frozen=True)
class IPv6Info:
    """`raw` are the parameters as they are, to be put back; `addresses` those in use."""

    settings: IPv6Settings
    raw: dict[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()


def read_ipv6(values: Mapping[str, str]) -> IPv6Info | None:
    """`None` when the firmware has no such parameters."""
    raw = {name: values[PREFIX + name] for name in _WRITTEN if PREFIX + name in values}
    if "Enabled" not in raw or "IPAddress" not in raw:
        return None
    used = clean(values.get("Network.eth0.IPv6.IPAddresses"), 500).replace(",", " ").split()
    return IPv6Info(_settings(raw), raw, tuple(text for one in used[:32] if (text := _in_use(one))))


def _in_use(text: str) -> str:
    prefix = text.partition("/")[2]
    address = _address(text)
    return f"{address}/{prefix}" if address and prefix.isdecimal() else address


def _settings(raw: Mapping[str, str]) -> IPv6Settings:
    if raw["Enabled"] != "yes":
        return IPv6Settings(OFF)
    given = clean(raw["IPAddress"], 500).split()
    advertised, dhcp = raw.get("AcceptRA"), raw.get("DHCPv6")  # what the firmware lacks is as wanted
    router = _address(clean(raw.get("DefaultRouter"), 64))
    if advertised in ("yes", None) and dhcp in ("auto", None) and not given:
        return IPv6Settings(AUTO)
    alone = advertised in ("no", None) and dhcp in ("off", None) and len(given) == 1
    if alone and (address := _interface(given[0])):
        return IPv6Settings(STATIC, address, router)
    return IPv6Settings(OTHER, given[0] if given else "", router)


def _interface(text: str) -> str:
    try:
        return str(IPv6Interface(text if "/" in text else f"{text}/{DEFAULT_PREFIX}"))
    except ValueError:
        return ""


def _address(text: str) -> str:
    try:
        return str(ip_address(text.partition("/")[0].partition("%")[0]))
    except ValueError:
        return ""


def ipv6_parameters(settings: IPv6Settings, info: IPv6Info) -> dict[str, str]:
    """Static means nothing else: no advertised addresses beside it. Only parameters that the firmware has; raises
    `Refused` when it has none for a router that is wanted."""
    if settings.router and "DefaultRouter" not in info.raw:
        raise Refused("The device's firmware has no parameter for an IPv6 router.")
    if settings.mode == OFF:
        return {f"{PREFIX}Enabled": "no"}
    static = settings.mode == STATIC
    values = {
        "AcceptRA": "no" if static else "yes",
        "DHCPv6": "off" if static else "auto",
        "IPAddress": settings.address if static else "",
        "DefaultRouter": settings.router if static else "",
        "Enabled": "yes",
    }
    return {f"{PREFIX}{name}": value for name, value in values.items() if name in info.raw}
