"""Which requests a hardened device lets in at all: address filter, firewall, HTTPS only."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice


def is_shut_out(device: SimulatedDevice, caller: str) -> bool:
    """By the firewall, or by the IP filter of older firmware: such a caller hears nothing."""
    if not device.rest.firewall.lets_in(caller, device.now()):
        return True
    if device.parameters.get("Network.Filter.Enabled") != "yes":
        return False
    texts = device.parameters.get("Network.Filter.Input.AcceptAddresses").split()
    listed = any(ip_address(caller) in ip_network(text, strict=False) for text in texts)
    return listed != (device.parameters.get("Network.Filter.Input.Policy") == "allow")


def elsewhere(device: SimulatedDevice, request: web.Request) -> web.Response | None:
    """With HTTPS as the only way in, what comes over HTTP is sent there."""
    only = device.parameters.get("System.BoaGroupPolicy.admin") == "https"
    if not only or request.secure or device.https_port is None:
        return None
    place = f"https://{device.address}:{device.https_port}{request.raw_path}"
    return web.Response(status=301, headers={hdrs.LOCATION: place})
