"""Where a request comes from."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import web


def source_address(request: web.Request, trusted_proxies: Sequence[str]) -> str:
    """The connection's other end; behind trusted proxies the nearest address that none of them has."""
    address = request.remote or ""
    if not within(address, trusted_proxies):
        return address
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed([part.strip() for part in forwarded]):
        if not _is_address(hop):
            return address
        address = hop
        if not within(hop, trusted_proxies):
            return hop
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def within(address: str, networks: Sequence[str]) -> bool:
    if not networks or not _is_address(address):
        return False
    ip = ipaddress.ip_address(address)
    return any(ip in ipaddress.ip_network(network) for network in networks)
