"""Looks at managed devices: are they there, who are they, and does the log-in work. What is seen is their state."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from farsite_edge.devices.accounts import AccountChanger
from farsite_edge.devices.contact import Contact
from farsite_edge.devices.credentials import Account, CredentialStore
from farsite_edge.devices.following import is_gone, verified
from farsite_edge.devices.holds import Holds
from farsite_edge.devices.record import DeviceRecord, short
from farsite_edge.devices.registry import Registry
from farsite_edge.vapix.errors import OtherDevice
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_STATES = {
    ErrorCode.DEVICE_CREDENTIALS: DeviceState.CREDENTIALS_REQUIRED,
    ErrorCode.DEVICE_UNREACHABLE: DeviceState.UNREACHABLE,
    ErrorCode.DEVICE_SETUP_REQUIRED: DeviceState.SETUP_REQUIRED,
    ErrorCode.DEVICE_CERTIFICATE_CHANGED: DeviceState.CERTIFICATE_CHANGED,
}
logger = logging.getLogger(__name__)


class Looks:
    def __init__(
        self,
        registry: Registry,
        credentials: CredentialStore,
        contact: Contact,
        holds: Holds,
        accounts: AccountChanger,
    ) -> None:
        self._registry = registry
        self._credentials = credentials
        self._contact = contact
        self._holds = holds
        self._accounts = accounts

    async def check(self, device: str, *, refresh: bool) -> DeviceRecord:
        """One look at a managed device, its state written down; raises nothing of devices. `refresh`: log in and read
        what it is, not only whether it is there."""
        if self._holds.held(device):
            return self._registry.get(device)
        try:
            async with self._holds.lock(device):
                return await self._look(self._registry.managed(device), refresh)
        except FarsiteError as error:
            return await self.failed(device, error)

    async def _look(self, record: DeviceRecord, refresh: bool) -> DeviceRecord:
        """Where it was, or where it has proven to be by now."""
        if record.next_pin is not None:
            record = await self.settle_pin(record)
        try:
            return await self._check(record, refresh)
        except FarsiteError as error:
            there = await verified(self._contact, self._credentials, record) if is_gone(error) else None
            if there is None:
                raise
        logger.info("device %s moved from %s to %s", record.id, record.address, there.address)
        moved = await self.follow(there)
        return await self._check(moved, refresh=True)

    async def follow(self, there: DeviceRecord) -> DeviceRecord:
        """The device was proven to be at the address of `there`."""
        values = there.model_dump(include={"address", "http_port", "https_port"})
        record = await self._registry.update(there.id, **values, elsewhere=None)
        self._registry.on_change()
        return record

    async def failed(self, device: str, error: FarsiteError) -> DeviceRecord:
        """Write down what an error says about the device's state."""
        values: dict[str, Any] = {"last_error": short(error.detail)}
        if isinstance(error, OtherDevice):
            values["state"] = DeviceState.UNREACHABLE
        elif error.code in _STATES:
            values["state"] = _STATES[error.code]
        if error.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED and not isinstance(error, OtherDevice):
            await self._note_certificate(device)
        return await self._registry.update(device, **values)

    async def _note_certificate(self, device: str) -> None:
        """What it shows now, for whoever decides whether that is right."""
        try:
            seen = await self._contact.shown_pin(self._registry.get(device))
        except FarsiteError:
            return
        await self._registry.update(device, shown_pin=seen)

    async def settle_pin(self, record: DeviceRecord) -> DeviceRecord:
        """Of the certificate it had and the one it was told to show, the one it shows is its own; the other is kept until
        that is certain. A third one is not accepted."""
        if record.next_pin is None or record.https_port is None:
            return record
        seen = await self._contact.shown_pin(record)
        if seen != record.next_pin or seen == record.pin:
            return record
        logger.info("device %s shows its new certificate %s", record.id, seen)
        return await self._registry.update(record.id, pin=seen, next_pin=record.pin)

    async def _check(self, record: DeviceRecord, refresh: bool) -> DeviceRecord:
        client = self._contact.client(record, None, once=True)
        setup_required = await self._contact.setup_required(client)
        if not client.secure and not setup_required:
            await self._check_place(record, client)
        record = await self.keep_pin(record, client)
        if record.id in self._credentials.unresolved and not setup_required:
            await self._accounts.resolve(record)
            record = self._registry.managed(record.id)
        if setup_required:
            return await self._wants_set_up(record)
        return await self._check_account(record, refresh)

    async def _check_place(self, record: DeviceRecord, client: Any) -> None:
        """Without TLS anyone may have its address by now: the log-in says whose it is."""
        met = await self._contact.bounded(client.realm_serial())
        if met is not None and met != record.id:
            raise OtherDevice(met)

    async def _wants_set_up(self, record: DeviceRecord) -> DeviceRecord:
        detail = "The device is factory-new: set its first account."
        return await self._registry.update(
            record.id, state=DeviceState.SETUP_REQUIRED, setup_required=True, last_error=detail
        )

    async def _check_account(self, record: DeviceRecord, refresh: bool) -> DeviceRecord:
        account = await self._credentials.get(record.id)
        if account is None:
            detail = record.last_error or "Log in to the device."
            return await self._registry.update(
                record.id, state=DeviceState.CREDENTIALS_REQUIRED, setup_required=False, last_error=detail
            )
        if refresh or record.state is not DeviceState.REACHABLE:
            return await self.read(record, account)
        return await self._reached(record.id)

    async def read(self, record: DeviceRecord, account: Account) -> DeviceRecord:
        """Log in once and read what the device is. Raises its `device_…` errors."""
        client = self._contact.client(record, account)
        try:
            info = await self._contact.bounded(client.info())
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                await self._credentials.refused(record.id, account)
            raise
        serial = getattr(info, "serial", "") or record.id
        if serial.upper() != record.id.upper():
            raise OtherDevice(short(serial))
        return await self._reached(record.id, **_identity(info))

    async def _reached(self, device: str, **values: Any) -> DeviceRecord:
        return await self._registry.update(
            device,
            state=DeviceState.REACHABLE,
            setup_required=False,
            shown_pin=None,
            last_error=None,
            last_seen=datetime.now(UTC),
            **values,
        )

    async def keep_pin(self, record: DeviceRecord, client: Any) -> DeviceRecord:
        """The client trusted the certificate it met first: from now on no other."""
        if record.pin is not None or client.pin is None:
            return record
        return await self._registry.update(record.id, pin=client.pin)


def _identity(info: Any) -> dict[str, str]:
    names = ("model", "product", "device_type", "version")
    return {name: short(text) for name in names if (text := getattr(info, name, ""))}
