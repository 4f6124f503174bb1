"""IPv6 addresses a device can be given, in their normal form (RFC 5952)."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Interface

AUTO, OFF = "auto", "off"


def device_address(text: str) -> str:
    """An address with its prefix. Raises `ValueError`, saying what is wrong."""
    address, slash, _ = text.partition("/")
    if not slash:
        raise ValueError(f"{text} needs its prefix, such as {address}/64")
    try:
        interface = IPv6Interface(text)
    except ValueError:
        raise ValueError(f"{text} is not an IPv6 address with its prefix, such as fd00::20/64") from None
    network, ip = interface.network, interface.ip
    # The first of a subnet is that of its routers (RFC 4291 2.6.1).
    routers = network.prefixlen < 127 and ip == network.network_address
    if routers or not network.prefixlen or "%" in text or not _usable(ip):
        raise ValueError(f"{text} is not an address a device can be given")
    return str(interface)


def _usable(ip: IPv6Address) -> bool:
    apart = ip.is_multicast or ip.is_unspecified or ip.is_loopback or ip.is_link_local
    return not apart and ip.ipv4_mapped is None


def device_router(text: str, address: str) -> str:
    """The router of a device with that address: link-local, or in the same subnet. Raises `ValueError`."""
    try:
        router = IPv6Address(text)
    except ValueError:
        raise ValueError(f"{text} is not the IPv6 address of a router") from None
    interface = IPv6Interface(address)
    if router.scope_id or router == interface.ip or router.is_multicast or router.is_unspecified:
        raise ValueError(f"{text} cannot be the router of {address}")
    if not router.is_link_local and router not in interface.network:
        detail = f"the router {text} is not in {interface.network}, so the device could not reach it"
        raise ValueError(detail)
    return str(router)
