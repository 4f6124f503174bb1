"""How the edge host speaks with a device: where it may be, over which connection, with which account, for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.connections import Connections
from farsite_edge.devices.credentials import Account
from farsite_edge.devices.gateway import Gateway
from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class Contact:
    """`timeout`: seconds a device has for one question."""

    def __init__(
        self, gateway: Gateway, connections: Connections, rule: AddressRule, *, timeout: float
    ) -> None:
        self._gateway = gateway
        self._connections = connections
        self._rule = rule
        self.timeout = timeout

    def check_address(self, address: str, port: int) -> None:
        """Raises `forbidden` for an address no device may have."""
        self._rule.check(address, port)

    def client(self, record: DeviceRecord, account: Account | None, *, once: bool = False) -> Any:
        """`once`: it is asked one thing, so that its connection is not kept. Raises `forbidden` for an address no
        device may have."""
        self.check_address(record.address, record.https_port or record.http_port)
        credentials = self._gateway.credentials(account.username, account.password) if account else None
        return self._gateway.client(
            record.address,
            http_port=record.http_port,
            https_port=record.https_port,
            credentials=credentials,
            pin=record.pin,
            serial=record.id,
            session=self._connections.single if once else self._connections.kept,
        )

    async def shown_pin(self, record: DeviceRecord) -> str:
        """Of the certificate it shows now, whatever it is. Raises its `device_…` errors."""
        client = self.client(record.model_copy(update={"pin": None}), None)
        return str(await self.bounded(client.read_pin()))

    async def setup_required(self, client: Any) -> bool:
        """Whether the device is factory-new; one that does not say counts as set up."""
        try:
            ready = await self.bounded(client.system_ready())
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_ANSWER:
                return False  # firmware before 9.50 lacks the question; it answered, so it is there
            raise
        return bool(ready is not None and ready.setup_required)

    async def bounded(self, question: Awaitable[Any]) -> Any:
        """Raises `device_unreachable` when the answer takes too long."""
        try:
            async with asyncio.timeout(self.timeout):
                return await question
        except TimeoutError:
            raise silent() from None


def silent(device: str = "") -> FarsiteError:
    name = f"The device {device}" if device else "The device"
    return FarsiteError(ErrorCode.DEVICE_UNREACHABLE, f"{name} does not answer in time.")
