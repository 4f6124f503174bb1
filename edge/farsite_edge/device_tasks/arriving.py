"""Whether a device is at an address, and whether anybody is: what every change of addresses asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from farsite_edge.devices import DeviceManager
from farsite_edge.devices.following import verified
from farsite_edge.devices.record import DeviceRecord, Sighting
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Occupied = Callable[[str, tuple[int, ...]], Awaitable[bool]]
"""Whether anybody answers at an address and ports."""


def is_ipv6(address: str) -> bool:
    return ip_address(address.partition("%")[0]).version == 6


async def logged_in(manager: DeviceManager, record: DeviceRecord) -> Any:
    """A client for who holds the device. Raises `device_credentials` when there is nothing to log in with."""
    return manager.contact.client(record, await manager.credentials.needed(record.id))


async def is_at(manager: DeviceManager, record: DeviceRecord, address: str) -> DeviceRecord | None:
    """The record there, when the device has proven to be at the address."""
    seen = record.elsewhere if record.elsewhere and record.elsewhere.address == address else None
    place = seen or Sighting(address=address, http_port=record.http_port, https_port=record.https_port)
    try:
        return await verified(
            manager.contact, manager.credentials, record.model_copy(update={"elsewhere": place})
        )
    except FarsiteError:
        return None


async def check_free(manager: DeviceManager, record: DeviceRecord, address: str, occupied: Occupied) -> None:
    """Raises `conflict` when another one is there, `forbidden` for an address no device may have."""
    manager.contact.check_address(address, record.https_port or record.http_port)
    if address == record.address:
        return
    holders = [one.id for one in manager.registry.all() if one.id != record.id and one.address == address]
    ports = tuple({record.http_port, record.https_port or 443, 80, 443})
    if not holders and (not await occupied(address, ports) or await is_at(manager, record, address)):
        return
    who = f"the device {holders[0]}" if holders else "somebody"
    raise FarsiteError(
        ErrorCode.CONFLICT, f"At {address} is {who} already. Nothing was changed; choose another."
    )
