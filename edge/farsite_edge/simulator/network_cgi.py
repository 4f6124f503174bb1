"""`network_settings.cgi`, and addresses that change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice

ANSWER_SECONDS = 0.05
"""Between the answer and the change."""


@dataclass
class NetworkState:
    """`dhcp_address`: what it gets from DHCP (none: the one it has); `lands_at`: where it comes up instead of where it
    was told to; `deaf`: it answers well and changes nothing."""

    mode: str = "dhcp"
    prefix: int = 24
    router: str = ""
    dhcp_address: str | None = None
    lands_at: str | None = None
    deaf: bool = False
    host_name: str = ""
    name_servers: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


async def network_settings(device: SimulatedDevice, request: web.Request) -> web.Response:
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    method = str(body.get("method")) if isinstance(body, dict) else ""
    params = body.get("params") if isinstance(body, dict) else None
    if method == "getNetworkInfo":
        return _answer(method, _info(device))
    if method in ("setHostnameConfiguration", "setResolverConfiguration") and isinstance(params, dict):
        if not device.network.deaf:
            device.network.host_name = str(params.get("staticHostname", device.network.host_name))
            device.network.name_servers = params.get("staticNameServers", device.network.name_servers)
        return _answer(method, {})
    if method != "setIPv4AddressConfiguration" or not isinstance(params, dict):
        return _error(method, 2004, "Unknown method")
    problem = _change(device, params)
    return _error(method, 4004, problem) if problem else _answer(method, {})


def _info(device: SimulatedDevice) -> dict[str, Any]:
    state = device.network
    configured = [{"address": device.address, "prefixLength": state.prefix}] if state.mode == "static" else []
    name = state.host_name or f"axis-{device.serial.lower()}"
    return {
        "system": {
            "hostname": {"useDhcpHostname": True, "hostname": name, "staticHostname": name},
            "resolver": {
                "useDhcpResolverInfo": not state.name_servers,
                "nameServers": state.name_servers or ["192.0.2.53"],
                "staticNameServers": state.name_servers,
            },
        },
        "devices": [
            {
                "name": "eth0",
                "type": "wired",
                "macAddress": device.serial,
                "link": True,
                "IPv4": {
                    "enabled": True,
                    "configurationMode": state.mode,
                    "addresses": [
                        {
                            "address": device.address,
                            "prefixLength": state.prefix,
                            "origin": state.mode,
                            "scope": "global",
                        },
                        {
                            "address": "169.254.7.9",
                            "prefixLength": 16,
                            "origin": "linkLocal",
                            "scope": "link",
                        },
                    ],
                    "staticAddressConfigurations": configured,
                    "defaultRouter": state.router,
                    "staticDefaultRouter": state.router if state.mode == "static" else "",
                },
                "IPv6": _ipv6(device),
            }
        ],
    }


def _ipv6(device: SimulatedDevice) -> dict[str, Any]:
    values = device.parameters
    used = values.get("Network.eth0.IPv6.IPAddresses", "").split()
    interfaces = [IPv6Interface(one) for one in used]
    return {
        "enabled": values.get("Network.IPv6.Enabled") == "yes",
        "addresses": [
            {
                "address": str(one.ip),
                "prefixLength": one.network.prefixlen,
                "origin": "static",
                "scope": "global",
            }
            for one in interfaces
        ],
    }


def _change(device: SimulatedDevice, params: dict[str, Any]) -> str | None:
    mode = params.get("configurationMode")
    if params.get("deviceName") != "eth0" or mode not in ("static", "dhcp"):
        return "Invalid parameter"
    if mode == "dhcp":
        apply(device, "dhcp", device.network.dhcp_address or device.address, device.network.prefix, "")
        return None
    try:
        entry = params["staticAddressConfigurations"][0]
        interface = IPv4Interface(f"{entry['address']}/{entry['prefixLength']}")
    except (KeyError, IndexError, TypeError, ValueError):
        return "Invalid parameter"
    router = str(params.get("staticDefaultRouter") or "")
    apply(device, "static", str(interface.ip), interface.network.prefixlen, router)
    return None


def changed_parameters(device: SimulatedDevice, names: set[str]) -> None:
    """Firmware without the CGI takes the same as parameters."""
    changed = {name.removeprefix("root.") for name in names}
    if any(name.startswith("Network.IPv6.") for name in changed):
        _changed_ipv6(device)
    if not changed & {
        "Network.BootProto",
        "Network.IPAddress",
        "Network.SubnetMask",
        "Network.DefaultRouter",
    }:
        return
    values = device.parameters
    if values.get("Network.BootProto") == "dhcp":
        apply(device, "dhcp", device.network.dhcp_address or device.address, device.network.prefix, "")
        return
    try:
        interface = IPv4Interface(f"{values['Network.IPAddress']}/{values['Network.SubnetMask']}")
    except (KeyError, ValueError):
        return
    apply(
        device,
        "static",
        str(interface.ip),
        interface.network.prefixlen,
        values.get("Network.DefaultRouter", ""),
    )


def _changed_ipv6(device: SimulatedDevice) -> None:
    """Reached over IPv6 it moves; else it listens there too, where this machine has the address."""
    values, state = device.parameters, device.network
    on = values.get("Network.IPv6.Enabled") == "yes"
    given = values.get("Network.IPv6.IPAddress", "").split() if on else []
    values["Network.eth0.IPv6.IPAddresses"] = " ".join(given)
    target = given[0].partition("/")[0] if given else None
    if ":" not in device.address:
        _begin(device, lambda: device.also_at(target))
    elif not on:
        _begin(device, device.stop)
    elif target is not None:
        target, state.lands_at = state.lands_at or target, None
        if target != device.address:
            _move(device, target)


def apply(device: SimulatedDevice, mode: str, address: str, prefix: int, router: str) -> None:
    state = device.network
    if state.deaf:
        return
    state.mode, state.prefix, state.router = mode, prefix, router
    values = {
        "Network.BootProto": "dhcp" if mode == "dhcp" else "none",
        "Network.IPAddress": address,
        "Network.SubnetMask": str(IPv4Interface(f"{address}/{prefix}").netmask),
        "Network.DefaultRouter": router,
    }
    for name, value in values.items():
        device.parameters[name] = value
    target, state.lands_at = state.lands_at or address, None
    if target != device.address:
        _move(device, target)


def _move(device: SimulatedDevice, address: str) -> None:
    _begin(device, lambda: device.move(address))


def _begin(device: SimulatedDevice, act: Callable[[], Awaitable[None]]) -> None:
    """Kept in `tasks` and ended with the device: the answer to this request comes first."""
    tasks = device.network.tasks
    task = asyncio.get_running_loop().create_task(_later(act), name=f"simulator-network-{device.serial}")
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _later(act: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(ANSWER_SECONDS)
    await act()


def _answer(method: str, data: dict[str, Any]) -> web.Response:
    return web.json_response({"apiVersion": "1.15", "method": method, "data": data})


def _error(method: str, code: int, message: str) -> web.Response:
    return web.json_response(
        {"apiVersion": "1.15", "method": method, "error": {"code": code, "message": message}}
    )
