"""The way to one device for as long as a policy holds it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

from farsite_edge.devices import DeviceManager
from farsite_edge.devices.credentials import Account, CredentialStore
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.store import Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class DeviceAccess:
    """`client()` is a `vapix.DeviceClient` with the stored account, made anew each time: using it is a new log-in."""

    def __init__(
        self, manager: DeviceManager, credentials: CredentialStore, vault: Vault, device: str
    ) -> None:
        self._manager = manager
        self.credentials = credentials
        self.vault = vault
        self.device = device

    @property
    def record(self) -> DeviceRecord:
        """Raises `device_unknown` when it is managed no more."""
        return self._manager.registry.managed(self.device)

    @property
    def manager(self) -> DeviceManager:
        return self._manager

    @asynccontextmanager
    async def client(self, *, anonymous: bool = False) -> AsyncIterator[Any]:
        """Raises `device_credentials` when there is nothing to log in with."""
        await self.settle_pin()
        async with self._manager.held_client(self.device, anonymous=anonymous) as client:
            yield client

    def client_as(self, account: Account) -> Any:
        """With another account than the stored one."""
        return self._manager.contact.client(self.record, account)

    def client_at(self, account: Account | None, *, https_port: int) -> Any:
        """Over HTTPS at a port the edge host does not use yet for the device. No pin: the certificate met is in `pin`."""
        record = self.record.model_copy(update={"https_port": https_port, "pin": None})
        return self._manager.contact.client(record, account)

    async def account(self) -> Account:
        """The stored one. Raises `device_credentials`."""
        return await self.credentials.needed(self.device)

    async def keep_account(self, account: Account) -> None:
        """From now on the edge host logs in with it: check first that it works."""
        await self.credentials.keep(self.device, account)

    async def adopt_https(self, port: int, pin: str) -> None:
        """From now on the edge host speaks HTTPS with the device: check first that it works."""
        await self._manager.registry.update(self.device, https_port=port, pin=pin)

    async def settle_pin(self, *, forget: bool = False) -> None:
        """After a change of certificate: which of the two it shows. `forget` the other one: no change is under way."""
        if self.record.next_pin is None:
            return
        await self._manager.looks.settle_pin(self.record)
        if forget:
            await self._manager.registry.update(self.device, next_pin=None)

    async def expect_pin(self, pin: str) -> None:
        """Before the device is told to show another certificate."""
        if self.record.https_port is not None:
            await self._manager.registry.update(self.device, next_pin=pin)

    async def shown_pin(self) -> str | None:
        """Of the certificate its web server shows; `None` when it speaks no HTTPS."""
        record = self.record
        if record.https_port is None:
            async with self.client() as client:
                port = (await client.parameters("HTTPS")).get("HTTPS.Port", "443")
            record = record.model_copy(update={"https_port": int(port) if port.isdigit() else 443})
        try:
            return await self._manager.contact.shown_pin(record)
        except FarsiteError:
            if self.record.https_port is None:
                return None
            raise

    def own_address(self) -> str:
        """The address the device sees us at, as the routing table says; nothing is sent."""
        record = self.record
        family = socket.AF_INET6 if ip_address(record.address.split("%")[0]).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((record.address, record.https_port or record.http_port))
            except OSError as error:
                detail = f"There is no way to {record.address} ({error.strerror})."
                raise FarsiteError(ErrorCode.DEVICE_UNREACHABLE, detail) from None
            return str(probe.getsockname()[0])
