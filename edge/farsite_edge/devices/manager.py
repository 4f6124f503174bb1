"""What is done with devices on a user's behalf."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from farsite_edge.devices.accounts import AccountChanger, Change
from farsite_edge.devices.contact import Contact, silent
from farsite_edge.devices.credentials import Account, Candidate, CredentialStore
from farsite_edge.devices.each import each
from farsite_edge.devices.holds import Holds
from farsite_edge.devices.looks import Looks
from farsite_edge.devices.record import DeviceRecord, short
from farsite_edge.devices.registry import Registry
from farsite_edge.devices.rotation import Step
from farsite_edge.devices.tags import Tags
from farsite_edge.vapix.pin import pin_bytes
from farsite_signaling.wire.edge_api import DeviceResult, DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)


class DeviceManager:
    """Every act on a device goes through here: one at a time for each device, all failures `FarsiteError`."""

    def __init__(
        self, registry: Registry, credentials: CredentialStore, contact: Contact, tags: Tags
    ) -> None:
        self.registry = registry
        self.credentials = credentials
        self.contact = contact
        self.accounts = AccountChanger(registry, credentials, contact)
        self._holds = Holds()
        self.looks = Looks(registry, credentials, contact, self._holds, self.accounts)
        self._tags = tags

    async def add(self, ids: Iterable[str]) -> list[DeviceResult]:
        return await each(ids, self.registry.manage)

    async def remove(self, ids: Iterable[str]) -> list[DeviceResult]:
        return await each(ids, self._remove)

    async def log_in(self, ids: Iterable[str], account: Account) -> list[DeviceResult]:
        return await each(ids, lambda device: self._log_in(device, account))

    async def set_up(self, ids: Iterable[str], account: Account) -> list[DeviceResult]:
        return await each(ids, lambda device: self._set_up(device, account))

    async def parameters(self, device: str, groups: Iterable[str]) -> dict[str, str]:
        async with self.logged_in(device) as client:
            return dict(await client.parameters(*groups))

    async def change_parameters(
        self, device: str, values: Mapping[str, str], before: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Write, then read the same back from the device. Raises `device_answer` naming what did not take,
        `precondition_failed` naming what is not as `before` says, and has changed nothing then."""
        wanted, was = _plain(values), _plain(before or {})
        async with self.logged_in(device) as client:
            now = dict(await client.parameters(*was)) if was else {}
            others = {name: now.get(name) for name, value in was.items() if now.get(name) != value}
            if not others:
                await client.update_parameters(wanted)
                now = dict(await client.parameters(*wanted))
        if others:
            raise _changed_meanwhile(others)
        off = [
            name for name, value in wanted.items() if now.get(name) != value and not _masked(now.get(name))
        ]
        if off:
            raise FarsiteError(
                ErrorCode.DEVICE_ANSWER,
                f"The device accepted the change but reads back otherwise: {', '.join(off)[:500]}.",
            )
        return {name: now.get(name, "") for name in wanted}

    async def snapshot(self, device: str, resolution: str | None = None) -> bytes:
        async with self.logged_in(device) as client:
            options = {"resolution": resolution} if resolution else {}
            return bytes(await client.snapshot(**options))

    async def tag(self, ids: Iterable[str], add: Sequence[str], remove: Sequence[str]) -> list[DeviceResult]:
        return await each(ids, lambda device: self._tag(device, add, remove))

    async def _tag(self, device: str, add: Sequence[str], remove: Sequence[str]) -> DeviceRecord:
        await self._tags.change(device, add, remove)
        return self.registry.get(device)

    @asynccontextmanager
    async def reporting(self, device: str) -> AsyncIterator[Any]:
        """A client for what takes minutes and changes nothing: others go on meanwhile."""
        record = self.registry.managed(device)
        self._holds.check_free(device)
        account = await self.credentials.needed(device)
        async with self._written_down(device, account):
            yield self.contact.client(record, account)

    # One writer: a task that changes a device keeps everybody else away from it.

    def hold(self, device: str) -> None:
        """Nothing else is done with the device, and its silence is no alarm. Idempotent."""
        self._holds.hold(device)

    async def release(self, device: str) -> None:
        """Look at the device again. Idempotent; raises nothing of devices."""
        self._holds.drop(device)
        try:
            await self.looks.check(device, refresh=True)
        except FarsiteError as error:
            logger.warning("device %s after its task: %s", device, error)

    async def updating(self, device: str, *, version: str | None = None) -> None:
        """Show a held device as being updated, and the version it has by now."""
        values = {} if version is None else {"version": short(version)}
        await self.registry.update(device, state=DeviceState.UPDATING, last_error=None, **values)

    @asynccontextmanager
    async def held_client(
        self, device: str, *, anonymous: bool = False, pinned: bool = True
    ) -> AsyncIterator[Any]:
        """For who holds the device. Raises `device_credentials` when there is nothing to log in with."""
        record = self.registry.managed(device)
        account = None if anonymous else await self.credentials.needed(device)
        async with self._holds.lock(device):
            yield self.contact.client(record if pinned else record.model_copy(update={"pin": None}), account)

    async def refused(self, device: str) -> None:
        """The device refused what is kept: it is not tried again by itself."""
        account = await self.credentials.get(device)
        if account is not None:
            await self.credentials.refused(device, account)

    async def accept_certificate(self, device: str, fingerprint: str) -> DeviceRecord:
        """From now on this certificate is the device's. Raises `conflict` when it shows another one."""
        self._holds.check_free(device)
        async with self._holds.lock(device):
            record = self.registry.managed(device)
            wanted = pin_bytes(fingerprint).hex()
            seen = await self.contact.shown_pin(record)
            if seen != wanted:
                await self.registry.update(device, shown_pin=seen if seen != record.pin else None)
                raise FarsiteError(
                    ErrorCode.CONFLICT,
                    f"The device shows the certificate {seen}, not the one you named. Look at it again.",
                )
            await self.registry.update(device, pin=seen, shown_pin=None, last_error=None)
        return await self.looks.check(device, refresh=True)

    async def _log_in(self, device: str, account: Account) -> DeviceRecord:
        self._holds.check_free(device)
        async with self._holds.lock(device):
            record = self.registry.managed(device)
            await self.credentials.begin_try(device, account)
            return await self._first_log_in(record, account)

    async def log_in_once(self, device: str, account: Account) -> DeviceRecord:
        """Raises what the device says; `rate_limited` when it must not be asked yet."""
        return await self._log_in(device, account)

    async def _first_log_in(self, record: DeviceRecord, account: Account) -> DeviceRecord:
        try:
            client = self.contact.client(record, None)
            if await self.contact.setup_required(client):
                raise FarsiteError(
                    ErrorCode.DEVICE_SETUP_REQUIRED,
                    "The device is factory-new: set its first account instead.",
                )
            record = await self.looks.read(await self.looks.keep_pin(record, client), account)
        except FarsiteError as error:
            # Other credentials that are refused say nothing about those that are kept and work.
            if error.code is not ErrorCode.DEVICE_CREDENTIALS or not await self.credentials.get(record.id):
                await self.looks.failed(record.id, error)
            raise
        await self.credentials.keep(record.id, account)
        return await self.registry.update(record.id, log_in=True, service_account=False)

    async def _set_up(self, device: str, account: Account) -> DeviceRecord:
        self._holds.check_free(device)
        async with self._holds.lock(device):
            record = self.registry.managed(device)
            await self.check_new(record)
            candidate = Candidate(username=account.username, password=account.password)
            step, said = await self.accounts.change(device, candidate, Change.FIRST)
            if step not in (Step.DONE, Step.APART):
                raise FarsiteError(ErrorCode.DEVICE_ANSWER, said or "The device did not take the account.")
            return await self.looks.read(self.registry.managed(device), account)

    async def check_new(self, record: DeviceRecord) -> None:
        """Raises `conflict` when the device has an account. Firmware before 9.50 does not say: there it is tried."""
        ready = await self.contact.bounded(self.contact.client(record, None).system_ready())
        unsaid = not ready.told and await self.credentials.get(record.id) is None
        if not ready.setup_required and not unsaid:
            raise FarsiteError(
                ErrorCode.CONFLICT, "The device has its first account already. Log in to it instead."
            )

    async def _remove(self, device: str) -> DeviceRecord:
        self._holds.check_free(device)
        async with self._holds.lock(device):
            record = await self.registry.release(device)
            await self.credentials.forget(device)
            return record

    @asynccontextmanager
    async def logged_in(self, device: str) -> AsyncIterator[Any]:
        """A client with the stored credentials, for one writer at a time; failures change the state."""
        record = self.registry.managed(device)
        self._holds.check_free(device)
        async with self._holds.lock(device):
            account = await self.credentials.needed(device)
            try:
                async with self._written_down(device, account), asyncio.timeout(self.contact.timeout * 2):
                    yield self.contact.client(record, account)
            except TimeoutError:
                raise silent(device) from None

    @asynccontextmanager
    async def _written_down(self, device: str, account: Account) -> AsyncIterator[None]:
        """What goes wrong changes the device's state, and whether its account is used again."""
        try:
            yield
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                await self.credentials.refused(device, account)
            await self.looks.failed(device, error)
            raise


def _plain(values: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("root."): value for name, value in values.items()}


def _changed_meanwhile(others: Mapping[str, str | None]) -> FarsiteError:
    errors = [
        {
            "field": name,
            "message": "is not there" if value is None else f"is now {short(value)!r}",
            "current": value,
        }
        for name, value in others.items()
    ]
    said = ", ".join(f"{error['field']} {error['message']}" for error in errors)[:500]
    detail = f"Somebody changed it after you read it: {said}. Read it again, then repeat your change."
    return FarsiteError(ErrorCode.PRECONDITION_FAILED, detail, errors=errors)


def _masked(value: str | None) -> bool:
    return value is not None and len(value) >= 4 and not value.strip("*")
