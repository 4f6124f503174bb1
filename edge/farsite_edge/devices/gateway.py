"""The way from the edge host to devices: discovery and one client per device, replaceable in tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from farsite_edge.devices.record import Found


@dataclass(frozen=True)
class Gateway:
    """`discover` and `client` take the arguments of `farsite_edge.discovery.discover` and `vapix.DeviceClient`."""

    discover: Callable[..., AsyncGenerator[Found, None]]
    client: Callable[..., Any]
    credentials: Callable[[str, str], Any]


def real_gateway() -> Gateway:
    from farsite_edge.discovery import discover
    from farsite_edge.vapix import Credentials, DeviceClient

    return Gateway(discover=discover, client=DeviceClient, credentials=Credentials)
