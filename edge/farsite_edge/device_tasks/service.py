"""Makes tasks of what is asked for devices, and does them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from farsite_edge.device_tasks.accounts import AccountTask
from farsite_edge.device_tasks.assign import AssignNetwork
from farsite_edge.device_tasks.change import AddressChange
from farsite_edge.device_tasks.holding import HoldingJob, SharingJob
from farsite_edge.device_tasks.ipv6 import IPv6
from farsite_edge.device_tasks.log_in import LogIn
from farsite_edge.device_tasks.network import IPv4
from farsite_edge.device_tasks.parameters import SetParameters
from farsite_edge.device_tasks.power import FactoryDefault, Restart
from farsite_edge.device_tasks.secrets import TaskSecrets
from farsite_edge.device_tasks.settings import Timing
from farsite_edge.devices import DeviceManager, Finder
from farsite_edge.devices.accounts import Change
from farsite_edge.devices.credentials import Account
from farsite_edge.store import Vault
from farsite_edge.tasks import Job, Outcome, TaskRecord, TaskRunner, WorkRow
from farsite_signaling.wire.edge_api import DiscoverRequest
from farsite_signaling.wire.edge_tasks import Rollout, TaskState, WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LOG_IN, SET_UP, ROTATE, SERVICE = (
    "device.log_in",
    "device.set_up",
    "device.rotate",
    "device.service_account",
)
ASSIGN = "device.assign"
RESTART, FACTORY_DEFAULT, PARAMETERS, NETWORK = (
    "device.restart",
    "device.factory_default",
    "device.set_parameters",
    "device.network",
)
TITLES = {
    LOG_IN: "Log in",
    SET_UP: "First account",
    ROTATE: "New password",
    SERVICE: "Service account",
    RESTART: "Restart",
    FACTORY_DEFAULT: "Factory default",
    PARAMETERS: "Parameters",
    NETWORK: "Network settings",
    ASSIGN: "Host names and addresses",
}
RETRIED_WITHIN = timedelta(hours=1)
"""How long the passwords of a task that failed stay sealed, so that it can be tried again."""
LOOK = 300.0
Sees = Callable[[str], bool]


class DeviceTasks:
    """`kinds` are its jobs, for the runner, which is given with `build`."""

    def __init__(self, manager: DeviceManager, finder: Finder, vault: Vault, timing: Timing) -> None:
        self._manager = manager
        self._finder = finder
        self._secrets = TaskSecrets(vault)
        self._timing = timing
        self._runner: TaskRunner | None = None
        self._tidy = asyncio.Event()
        self._making: set[str] = set()
        self.kinds = self._kinds()
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def _kinds(self) -> dict[str, Job]:
        manager, secrets, timing = self._manager, self._secrets, self._timing
        network = AddressChange(IPv4(), manager, self._search, occupied, timing)
        ipv6 = AddressChange(IPv6(), manager, self._search, occupied, timing)
        return {
            LOG_IN: SharingJob(LogIn(manager, secrets, timing)),
            SET_UP: HoldingJob(manager, AccountTask(manager, secrets, Change.FIRST)),
            ROTATE: HoldingJob(manager, AccountTask(manager, secrets, Change.ROTATE)),
            SERVICE: HoldingJob(manager, AccountTask(manager, secrets, Change.OWN)),
            RESTART: HoldingJob(manager, Restart(manager, timing)),
            FACTORY_DEFAULT: HoldingJob(manager, FactoryDefault(manager, timing)),
            PARAMETERS: SharingJob(SetParameters(manager)),
            NETWORK: HoldingJob(manager, network),
            ASSIGN: HoldingJob(manager, AssignNetwork(manager, network, ipv6)),
        }

    def build(self, runner: TaskRunner) -> None:
        self._runner = runner

    async def start(
        self,
        kind: str,
        ids: Iterable[str],
        payload: Mapping[str, Any],
        sees: Sees,
        *,
        accounts: list[Account] | None = None,
        each: Mapping[str, dict[str, Any]] | None = None,
        rollout: Rollout | None = None,
        actor: str,
        session: str | None,
        idempotency: str | None,
    ) -> TaskRecord:
        """`each` adds what differs from device to device. `sees` tells which devices the caller may know of; others are
        answered like ones that do not exist."""
        assert self._runner is not None
        record = TaskRecord(
            id=uuid.uuid4().hex,
            kind=kind,
            title=TITLES[kind],
            actor=actor,
            session=session,
            created_at=datetime.now(UTC),
            rollout=rollout or Rollout(),
        )
        values = dict(payload)
        if accounts:
            # Before the task: nobody finds it without its passwords.
            self._making.add(record.id)
            await self._secrets.put(record.id, accounts)
            values["secret"] = record.id
        rows = [
            self._row(record.id, number, device, values | (each or {}).get(device, {}), sees)
            for number, device in enumerate(dict.fromkeys(ids))
        ]
        try:
            made = await self._runner.submit(record, rows, idempotency)
        finally:
            self._making.discard(record.id)
        if made.id != record.id:
            await self._secrets.forget(record.id)
        return made

    def _row(self, task: str, number: int, device: str, payload: dict[str, Any], sees: Sees) -> WorkRow:
        try:
            if not sees(device):
                detail = f"There is no device {device} on this edge host."
                raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, detail)
            self._manager.registry.managed(device)
        except FarsiteError as error:
            skipped = Outcome(WorkState.SKIPPED, error.detail, error.code)
            return WorkRow(
                task, number, device, payload, skipped.state, detail=skipped.detail, code=skipped.code
            )
        return WorkRow(task, number, device, payload)

    # Passwords of tasks that are done with are forgotten.

    @asynccontextmanager
    async def carrying(self, rows: Sequence[WorkRow]) -> AsyncIterator[None]:
        """For the runner: rows of a retry get the passwords of the task before. Raises `precondition_failed` when
        these are forgotten."""
        before = {str(row.payload["secret"]) for row in rows if row.payload.get("secret")}
        if not before:
            yield
            return
        task = rows[0].task
        self._making.add(task)
        try:
            await self._secrets.put(task, await self._secrets.get(before.pop()))
            for row in rows:
                row.payload = row.payload | {"secret": task}
            yield
        finally:
            self._making.discard(task)
            self._tidy.set()

    def finished(self) -> None:
        self._tidy.set()

    async def run(self) -> None:
        while True:
            self._tidy.clear()
            await self.tidy()
            try:
                async with asyncio.timeout(LOOK):
                    await self._tidy.wait()
            except TimeoutError:
                pass

    async def tidy(self) -> None:
        assert self._runner is not None
        for task in await self._secrets.tasks():
            if task not in self._making and await self._is_over(task):
                await self._secrets.forget(task)

    async def _is_over(self, task: str) -> bool:
        """Nobody can use its passwords any more, by trying again what failed either."""
        assert self._runner is not None
        try:
            record = await self._runner.store.get(task)
        except FarsiteError as error:
            return error.code is ErrorCode.NOT_FOUND
        if not record.state.finished or record.finished_at is None:
            return False
        return record.state is TaskState.SUCCEEDED or self.now() - record.finished_at >= RETRIED_WITHIN

    async def _search(self, device: str) -> None:
        """By multicast: whoever is found is asked over HTTP who it is."""
        await self._finder.find(DiscoverRequest(multicast=True, timeout=self._timing.search))


async def occupied(address: str, ports: tuple[int, ...]) -> bool:
    async def answers(port: int) -> bool:
        try:
            async with asyncio.timeout(1.0):
                _, writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError) as error:
            # Whoever refuses is there; this machine itself refuses for all of 127.0.0.0/8.
            return isinstance(error, ConnectionRefusedError) and not ip_address(address).is_loopback
        writer.transport.abort()
        return True

    return any(await asyncio.gather(*[answers(port) for port in ports]))
