"""What is done with devices on a user's behalf."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from farsite_edge.devices.accounts import AccountChanger, Change
from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.connections import Connections
from farsite_edge.devices.credentials import Account, Candidate, CredentialStore
from farsite_edge.devices.each import each
from farsite_edge.devices.following import is_gone, verified
from farsite_edge.devices.gateway import Gateway
from farsite_edge.devices.record import DeviceRecord, short
from farsite_edge.devices.registry import Registry
from farsite_edge.devices.rotation import Step
from farsite_edge.devices.tags import Tags
from farsite_edge.vapix.errors import OtherDevice
from farsite_edge.vapix.pin import pin_bytes
from farsite_signaling.wire.edge_api import DeviceResult, DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_STATES = {
    ErrorCode.DEVICE_CREDENTIALS: DeviceState.CREDENTIALS_REQUIRED,
    ErrorCode.DEVICE_UNREACHABLE: DeviceState.UNREACHABLE,
    ErrorCode.DEVICE_SETUP_REQUIRED: DeviceState.SETUP_REQUIRED,
    ErrorCode.DEVICE_CERTIFICATE_CHANGED: DeviceState.CERTIFICATE_CHANGED,
}
logger = logging.getLogger(__name__)


class DeviceManager:
    """Every act on a device goes through here: one at a time for each device, all failures `FarsiteError`."""

    def __init__(
        self,
        registry: Registry,
        credentials: CredentialStore,
        gateway: Gateway,
        connections: Connections,
        rule: AddressRule,
        tags: Tags,
        *,
        timeout: float,
    ) -> None:
        self.registry = registry
        self.credentials = self._credentials = credentials
        self._gateway = gateway
        self._connections = connections
        self._rule = rule
        self._tags = tags
        self.timeout = timeout
        self._locks: dict[str, asyncio.Lock] = {}
        self._held: set[str] = set()
        self.accounts = AccountChanger(self)

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

    async def change_parameters(self, device: str, values: Mapping[str, str]) -> dict[str, str]:
        """Write, then read the same back from the device. Raises `device_answer` naming what did not take."""
        wanted = {name.removeprefix("root."): value for name, value in values.items()}
        async with self.logged_in(device) as client:
            await client.update_parameters(wanted)
            now = dict(await client.parameters(*wanted))
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
        self._check_free(device)
        account = await self._credentials.get(device)
        if account is None:
            raise FarsiteError(ErrorCode.DEVICE_CREDENTIALS, f"Log in to the device {device} first.")
        try:
            yield self.client(record, account)
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                await self._credentials.refused(device, account)
            await self.failed(device, error)
            raise

    # One writer: a task that changes a device keeps everybody else away from it.

    def hold(self, device: str) -> None:
        """Nothing else is done with the device, and its silence is no alarm. Idempotent."""
        self._held.add(device)

    async def release(self, device: str) -> None:
        """Look at the device again. Idempotent; raises nothing of devices."""
        self._held.discard(device)
        try:
            await self.check(device, refresh=True)
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
        account = None if anonymous else await self._credentials.get(device)
        if account is None and not anonymous:
            raise FarsiteError(ErrorCode.DEVICE_CREDENTIALS, f"Log in to the device {device} first.")
        async with self._lock(device):
            yield self.client(record if pinned else record.model_copy(update={"pin": None}), account)

    async def shown_pin(self, record: DeviceRecord) -> str:
        """Of the certificate it shows now, whatever it is. Raises its `device_…` errors."""
        client = self.client(record.model_copy(update={"pin": None}), None)
        return str(await self.bounded(client.read_pin()))

    async def settle_pin(self, record: DeviceRecord) -> DeviceRecord:
        """Of the certificate it had and the one it was told to show, the one it shows is its own; the other is kept until
        that is certain. A third one is not accepted."""
        if record.next_pin is None or record.https_port is None:
            return record
        seen = await self.shown_pin(record)
        if seen != record.next_pin or seen == record.pin:
            return record
        logger.info("device %s shows its new certificate %s", record.id, seen)
        return await self.registry.update(record.id, pin=seen, next_pin=record.pin)

    async def refused(self, device: str) -> None:
        """The device refused what is kept: it is not tried again by itself."""
        account = await self._credentials.get(device)
        if account is not None:
            await self._credentials.refused(device, account)

    def _check_free(self, device: str) -> None:
        if device in self._held:
            raise FarsiteError(
                ErrorCode.CONFLICT,
                f"The device {device} is being updated. Wait for the task, or cancel it.",
            )

    async def check(self, device: str, *, refresh: bool) -> DeviceRecord:
        """One look at a managed device, its state written down. Used by the monitor; raises nothing of devices."""
        if device in self._held:
            return self.registry.get(device)
        try:
            async with self._lock(device):
                return await self._look(self.registry.managed(device), refresh)
        except FarsiteError as error:
            return await self.failed(device, error)

    async def _look(self, record: DeviceRecord, refresh: bool) -> DeviceRecord:
        """Where it was, or where it has proven to be by now."""
        if record.next_pin is not None:
            record = await self.settle_pin(record)
        try:
            return await self._check(record, refresh)
        except FarsiteError as error:
            there = await verified(self, record) if is_gone(error) else None
            if there is None:
                raise
        logger.info("device %s moved from %s to %s", record.id, record.address, there.address)
        moved = await self.follow(there)
        return await self._check(moved, refresh=True)

    async def follow(self, there: DeviceRecord) -> DeviceRecord:
        """The device was proven to be at the address of `there`."""
        values = there.model_dump(include={"address", "http_port", "https_port"})
        record = await self.registry.update(there.id, **values, elsewhere=None)
        self.registry.on_change()
        return record

    async def failed(self, device: str, error: FarsiteError) -> DeviceRecord:
        """Write down what an error says about the device's state."""
        if isinstance(error, OtherDevice):
            state = DeviceState.UNREACHABLE
            return await self.registry.update(device, state=state, last_error=short(error.detail))
        if error.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED:
            await self._note_certificate(device)
        if error.code not in _STATES:
            return await self.registry.update(device, last_error=short(error.detail))
        return await self.registry.update(device, state=_STATES[error.code], last_error=short(error.detail))

    async def _note_certificate(self, device: str) -> None:
        """What it shows now, for whoever decides whether that is right."""
        record = self.registry.get(device).model_copy(update={"pin": None})
        try:
            seen = await self.bounded(self.client(record, None).read_pin())
        except FarsiteError:
            return
        await self.registry.update(device, shown_pin=seen)

    async def accept_certificate(self, device: str, fingerprint: str) -> DeviceRecord:
        """From now on this certificate is the device's. Raises `conflict` when it shows another one."""
        self._check_free(device)
        async with self._lock(device):
            record = self.registry.managed(device)
            wanted = pin_bytes(fingerprint).hex()
            seen = await self.bounded(self.client(record.model_copy(update={"pin": None}), None).read_pin())
            if seen != wanted:
                await self.registry.update(device, shown_pin=seen if seen != record.pin else None)
                raise FarsiteError(
                    ErrorCode.CONFLICT,
                    f"The device shows the certificate {seen}, not the one you named. Look at it again.",
                )
            await self.registry.update(device, pin=seen, shown_pin=None, last_error=None)
        return await self.check(device, refresh=True)

    async def _check(self, record: DeviceRecord, refresh: bool) -> DeviceRecord:
        client = self.client(record, None, once=True)
        setup_required = await self._setup_required(client)
        if not client.secure and not setup_required:
            await self._check_place(record, client)
        record = await self._keep_pin(record, client)
        if record.id in self._credentials.unresolved and not setup_required:
            await self.accounts.resolve(record)
            record = self.registry.managed(record.id)
        if setup_required:
            detail = "The device is factory-new: set its first account."
            return await self.registry.update(
                record.id, state=DeviceState.SETUP_REQUIRED, setup_required=True, last_error=detail
            )
        account = await self._credentials.get(record.id)
        if account is None:
            detail = record.last_error or "Log in to the device."
            return await self.registry.update(
                record.id, state=DeviceState.CREDENTIALS_REQUIRED, setup_required=False, last_error=detail
            )
        if refresh or record.state is not DeviceState.REACHABLE:
            return await self._read(record, account)
        return await self._reached(record.id)

    async def _check_place(self, record: DeviceRecord, client: Any) -> None:
        """Without TLS anyone may have its address by now: the log-in says whose it is."""
        met = await self.bounded(client.realm_serial())
        if met is not None and met != record.id:
            raise OtherDevice(met)

    async def _setup_required(self, client: Any) -> bool:
        try:
            ready = await self.bounded(client.system_ready())
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_ANSWER:
                return False  # firmware before 9.50 lacks the question; it answered, so it is there
            raise
        return bool(ready is not None and ready.setup_required)

    async def _read(self, record: DeviceRecord, account: Account) -> DeviceRecord:
        """Log in once and read what the device is. Raises its `device_…` errors."""
        client = self.client(record, account)
        try:
            info = await self.bounded(client.info())
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                await self._credentials.refused(record.id, account)
            raise
        serial = getattr(info, "serial", "") or record.id
        if serial.upper() != record.id.upper():
            raise OtherDevice(short(serial))
        return await self._reached(record.id, **_identity(info))

    async def _reached(self, device: str, **values: Any) -> DeviceRecord:
        seen = datetime.now(UTC)
        return await self.registry.update(
            device,
            state=DeviceState.REACHABLE,
            setup_required=False,
            shown_pin=None,
            last_error=None,
            last_seen=seen,
            **values,
        )

    async def _keep_pin(self, record: DeviceRecord, client: Any) -> DeviceRecord:
        """The client trusted the certificate it met first: from now on no other."""
        if record.pin is not None or client.pin is None:
            return record
        return await self.registry.update(record.id, pin=client.pin)

    async def _log_in(self, device: str, account: Account) -> DeviceRecord:
        self._check_free(device)
        async with self._lock(device):
            record = self.registry.managed(device)
            await self._credentials.begin_try(device, account)
            return await self._first_log_in(record, account)

    async def log_in_once(self, device: str, account: Account) -> DeviceRecord:
        """Raises what the device says; `rate_limited` when it must not be asked yet."""
        return await self._log_in(device, account)

    async def _first_log_in(self, record: DeviceRecord, account: Account) -> DeviceRecord:
        try:
            client = self.client(record, None)
            if await self._setup_required(client):
                raise FarsiteError(
                    ErrorCode.DEVICE_SETUP_REQUIRED,
                    "The device is factory-new: set its first account instead.",
                )
            record = await self._read(await self._keep_pin(record, client), account)
        except FarsiteError as error:
            # Other credentials that are refused say nothing about those that are kept and work.
            if error.code is not ErrorCode.DEVICE_CREDENTIALS or not await self._credentials.get(record.id):
                await self.failed(record.id, error)
            raise
        await self._credentials.keep(record.id, account)
        return await self.registry.update(record.id, log_in=True, service_account=False)

    async def _set_up(self, device: str, account: Account) -> DeviceRecord:
        self._check_free(device)
        async with self._lock(device):
            record = self.registry.managed(device)
            await self.check_new(record)
            candidate = Candidate(username=account.username, password=account.password)
            step, said = await self.accounts.change(device, candidate, Change.FIRST)
            if step not in (Step.DONE, Step.APART):
                raise FarsiteError(ErrorCode.DEVICE_ANSWER, said or "The device did not take the account.")
            return await self._read(self.registry.managed(device), account)

    async def check_new(self, record: DeviceRecord) -> None:
        """Raises `conflict` when the device has an account. Firmware before 9.50 does not say: there it is tried."""
        ready = await self.bounded(self.client(record, None).system_ready())
        unsaid = not ready.told and await self._credentials.get(record.id) is None
        if not ready.setup_required and not unsaid:
            raise FarsiteError(
                ErrorCode.CONFLICT, "The device has its first account already. Log in to it instead."
            )

    async def _remove(self, device: str) -> DeviceRecord:
        self._check_free(device)
        async with self._lock(device):
            record = await self.registry.release(device)
            await self._credentials.forget(device)
            return record

    @asynccontextmanager
    async def logged_in(self, device: str) -> AsyncIterator[Any]:
        """A client with the stored credentials, for one writer at a time; failures change the state."""
        record = self.registry.managed(device)
        self._check_free(device)
        async with self._lock(device):
            account = await self._credentials.get(device)
            if account is None:
                raise FarsiteError(ErrorCode.DEVICE_CREDENTIALS, f"Log in to the device {device} first.")
            try:
                async with asyncio.timeout(self.timeout * 2):
                    yield self.client(record, account)
            except TimeoutError:
                raise _silent(device) from None
            except FarsiteError as error:
                if error.code is ErrorCode.DEVICE_CREDENTIALS:
                    await self._credentials.refused(device, account)
                await self.failed(device, error)
                raise

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

    def _lock(self, device: str) -> asyncio.Lock:
        return self._locks.setdefault(device, asyncio.Lock())

    async def bounded(self, question: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                return await question
        except TimeoutError:
            raise _silent("") from None


def _silent(device: str) -> FarsiteError:
    return FarsiteError(ErrorCode.DEVICE_UNREACHABLE, f"The device {device} does not answer in time.")


def _masked(value: str | None) -> bool:
    return value is not None and len(value) >= 4 and not value.strip("*")


def _identity(info: Any) -> dict[str, str]:
    names = ("model", "product", "device_type", "version")
    return {name: short(text) for name in names if (text := getattr(info, name, ""))}
