"""What is done with devices on a user's behalf."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.credentials import Account, CredentialStore
from farsite_edge.devices.gateway import Gateway
from farsite_edge.devices.record import DeviceRecord, short
from farsite_edge.devices.registry import Registry
from farsite_signaling.wire.edge_api import DeviceResult, DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PARALLEL = 16
_STATES = {
    ErrorCode.DEVICE_CREDENTIALS: DeviceState.CREDENTIALS_REQUIRED,
    ErrorCode.DEVICE_UNREACHABLE: DeviceState.UNREACHABLE,
    ErrorCode.DEVICE_SETUP_REQUIRED: DeviceState.SETUP_REQUIRED,
    ErrorCode.DEVICE_CERTIFICATE_CHANGED: DeviceState.CERTIFICATE_CHANGED,
}
Act = Callable[[str], Awaitable[DeviceRecord]]
logger = logging.getLogger(__name__)


class DeviceManager:
    """Every act on a device goes through here: one at a time for each device, all failures `FarsiteError`."""

    def __init__(
        self,
        registry: Registry,
        credentials: CredentialStore,
        gateway: Gateway,
        session: aiohttp.ClientSession,
        rule: AddressRule,
        *,
        timeout: float,
    ) -> None:
        self.registry = registry
        self._credentials = credentials
        self._gateway = gateway
        self._session = session
        self._rule = rule
        self.timeout = timeout
        self._locks: dict[str, asyncio.Lock] = {}
        self._held: set[str] = set()

    async def add(self, ids: Iterable[str]) -> list[DeviceResult]:
        return await _each(ids, self.registry.manage)

    async def remove(self, ids: Iterable[str]) -> list[DeviceResult]:
        return await _each(ids, self._remove)

    async def log_in(self, ids: Iterable[str], account: Account) -> list[DeviceResult]:
        return await _each(ids, lambda device: self._log_in(device, account))

    async def set_up(self, ids: Iterable[str], account: Account) -> list[DeviceResult]:
        return await _each(ids, lambda device: self._set_up(device, account))

    async def parameters(self, device: str, groups: Iterable[str]) -> dict[str, str]:
        async with self._logged_in(device) as client:
            return dict(await client.parameters(*groups))

    async def change_parameters(self, device: str, values: Mapping[str, str]) -> dict[str, str]:
        """Write, then read the same back from the device. Raises `device_answer` naming what did not take."""
        wanted = {name.removeprefix("root."): value for name, value in values.items()}
        async with self._logged_in(device) as client:
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
        async with self._logged_in(device) as client:
            options = {"resolution": resolution} if resolution else {}
            return bytes(await client.snapshot(**options))

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
                return await self._check(self.registry.managed(device), refresh)
        except FarsiteError as error:
            return await self.failed(device, error)

    async def failed(self, device: str, error: FarsiteError) -> DeviceRecord:
        """Write down what an error says about the device's state."""
        if error.code not in _STATES:
            return await self.registry.update(device, last_error=short(error.detail))
        return await self.registry.update(device, state=_STATES[error.code], last_error=short(error.detail))

    async def _check(self, record: DeviceRecord, refresh: bool) -> DeviceRecord:
        client = self.client(record, None)
        setup_required = await self._setup_required(client)
        record = await self._keep_pin(record, client)
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

    async def _setup_required(self, client: Any) -> bool:
        try:
            ready = await self._bounded(client.system_ready())
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_ANSWER:
                return False  # firmware before 9.50 lacks the question; it answered, so it is there
            raise
        return bool(ready is not None and ready.setup_required)

    async def _read(self, record: DeviceRecord, account: Account) -> DeviceRecord:
        """Log in once and read what the device is. Raises its `device_…` errors."""
        client = self.client(record, account)
        try:
            info = await self._bounded(client.info())
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                await self._credentials.refused(record.id, account)
            raise
        serial = getattr(info, "serial", "") or record.id
        if serial.upper() != record.id.upper():
            raise FarsiteError(
                ErrorCode.DEVICE_ANSWER,
                f"At {record.address} is now the device {short(serial)}, not {record.id}. Discover again.",
            )
        return await self._reached(record.id, **_identity(info))

    async def _reached(self, device: str, **values: Any) -> DeviceRecord:
        seen = datetime.now(UTC)
        return await self.registry.update(
            device,
            state=DeviceState.REACHABLE,
            setup_required=False,
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
        return await self.registry.update(record.id, log_in=True)

    async def _set_up(self, device: str, account: Account) -> DeviceRecord:
        self._check_free(device)
        async with self._lock(device):
            record = self.registry.managed(device)
            client = self.client(record, None)
            if not await self._setup_required(client):
                raise FarsiteError(
                    ErrorCode.CONFLICT, "The device has its first account already. Log in to it instead."
                )
            await self._bounded(client.add_first_user(account.username, account.password))
            return await self._first_log_in(record, account)

    async def _remove(self, device: str) -> DeviceRecord:
        self._check_free(device)
        async with self._lock(device):
            record = await self.registry.release(device)
            await self._credentials.forget(device)
            return record

    @asynccontextmanager
    async def _logged_in(self, device: str) -> AsyncIterator[Any]:
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

    def client(self, record: DeviceRecord, account: Account | None) -> Any:
        """Raises `forbidden` for an address no device may have."""
        self._rule.check(record.address, record.https_port or record.http_port)
        credentials = self._gateway.credentials(account.username, account.password) if account else None
        return self._gateway.client(
            record.address,
            http_port=record.http_port,
            https_port=record.https_port,
            credentials=credentials,
            pin=record.pin,
            serial=record.id,
            session=self._session,
        )

    def _lock(self, device: str) -> asyncio.Lock:
        return self._locks.setdefault(device, asyncio.Lock())

    async def _bounded(self, question: Awaitable[Any]) -> Any:
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


async def _each(ids: Iterable[str], act: Act) -> list[DeviceResult]:
    """Many devices, some at a time; what one does never touches the others."""
    limit = asyncio.Semaphore(PARALLEL)

    async def one(device: str) -> DeviceResult:
        async with limit:
            return await _result(device, act)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(device), name=f"device-{device}") for device in dict.fromkeys(ids)]
    return [task.result() for task in tasks]


async def _result(device: str, act: Act) -> DeviceResult:
    try:
        record = await act(device)
    except FarsiteError as error:
        return DeviceResult(id=device, ok=False, code=error.code, detail=error.detail)
    except Exception:
        logger.exception("device %s", device)
        detail = "Something went wrong here; see the edge host's log."
        return DeviceResult(id=device, ok=False, code=ErrorCode.INTERNAL, detail=detail)
    return DeviceResult(id=device, ok=True, state=record.state)
