"""Checks assignments against what is known and what answers, and makes a task of the good ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ifaddr

from farsite_edge.assign.table import DHCP, conflicts, planned
from farsite_edge.device_tasks.service import ASSIGN, DeviceTasks, occupied
from farsite_edge.devices import DeviceManager
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.tasks import TaskRecord
from farsite_signaling.wire.assign_api import AssignPlanRow, AssignRequest
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.ipv6 import OFF

PARALLEL_PROBES = 32
Sees = Callable[[str], bool]


class AssignService:
    def __init__(
        self,
        manager: DeviceManager,
        tasks: DeviceTasks,
        own: Callable[[], set[str]] | None = None,
        probe: Callable[[str, tuple[int, ...]], Awaitable[bool]] = occupied,
    ) -> None:
        self._manager = manager
        self._tasks = tasks
        self._own = own or own_addresses
        self._probe = probe

    async def plan(self, request: AssignRequest, sees: Sees) -> list[AssignPlanRow]:
        """Raises `invalid_request` for what is no table at all."""
        own = self._own()
        known = self._holders()
        rows = planned(request, self._model, lambda address: address in own or address in known)
        within = conflicts(rows)
        moving = {row.device for row in rows if row.address or row.ipv6}
        rows = [self._known(row, within, sees, own, known, moving) for row in rows]
        limit = asyncio.Semaphore(PARALLEL_PROBES)
        return list(await asyncio.gather(*[self._probed(row, limit) for row in rows]))

    async def start(
        self, rows: list[AssignPlanRow], request: AssignRequest, sees: Sees, **who: Any
    ) -> TaskRecord | None:
        """`who` is what `DeviceTasks.start` wants to know of the caller."""
        good = {row.device: _payload(row) for row in rows if row.problem is None}
        if not good:
            return None
        return await self._tasks.start(ASSIGN, good, {}, sees, each=good, rollout=request.rollout, **who)

    def _holders(self) -> dict[str, str]:
        """Devices by the addresses they are known at; the one a device is used at counts most."""
        every = self._manager.registry.all()
        others = {address: one.id for one in every for address in one.addresses if ":" in address}
        return others | {one.address: one.id for one in every}

    def _model(self, device: str) -> str:
        try:
            return self._manager.registry.get(device).model
        except FarsiteError:
            return ""

    def _known(
        self,
        row: AssignPlanRow,
        within: dict[int, str],
        sees: Sees,
        own: set[str],
        known: dict[str, str],
        moving: set[str],
    ) -> AssignPlanRow:
        if row.problem is not None:
            return row
        problem = within.get(row.line)
        try:
            if not sees(row.device):
                return row.model_copy(
                    update={"problem": f"There is no device {row.device} on this edge host."}
                )
            record = self._manager.registry.managed(row.device)
        except FarsiteError as error:
            return row.model_copy(update={"problem": error.detail})
        for address in _addresses(row):
            problem = problem or self._taken(row, address, own, known, moving)
        if row.ipv6 == OFF and ":" in record.address:
            detail = "The edge host reaches the device over IPv6: switched off, it would be lost."
            problem = problem or detail
        return row.model_copy(update={"problem": problem, "now": record.address})

    def _taken(
        self, row: AssignPlanRow, address: str, own: set[str], known: dict[str, str], moving: set[str]
    ) -> str | None:
        if address in own:
            return f"{address} is the edge host's own address."
        if row.router and row.router == address:
            return "The device cannot be its own router."
        holder = known.get(address)
        if holder is None or holder == row.device:
            return None
        if holder in moving:
            return f"{address} is left by {holder} only with this same task. Assign it afterwards, in a second one."
        return f"{address} is the address of the device {holder}."

    async def _probed(self, row: AssignPlanRow, limit: asyncio.Semaphore) -> AssignPlanRow:
        if row.problem is not None:
            return row
        record = self._manager.registry.managed(row.device)
        for address in _addresses(row):
            if address in (record.address, *record.addresses):
                continue  # whether it is still this device, the task looks
            problem = await self._problem_at(address, record, limit)
            if problem is not None:
                return row.model_copy(update={"problem": problem})
        return row

    async def _problem_at(self, address: str, record: DeviceRecord, limit: asyncio.Semaphore) -> str | None:
        try:
            self._manager.contact.check_address(address, record.https_port or record.http_port)
        except FarsiteError as error:
            return error.detail
        async with limit:
            ports = tuple({record.http_port, record.https_port or 443, 80, 443})
            taken = await self._probe(address, ports)
        return f"Somebody answers at {address} already." if taken else None


def _addresses(row: AssignPlanRow) -> list[str]:
    return [one.partition("/")[0] for one in (row.address, row.ipv6) if "/" in one]


def _payload(row: AssignPlanRow) -> dict[str, Any]:
    payload: dict[str, Any] = {"host_name": row.host_name, "dns": row.dns}
    if row.address:
        static = row.address != DHCP
        payload |= {"mode": "static" if static else DHCP, "address": row.address if static else ""}
        payload["router"] = row.router
    if row.ipv6:
        payload |= {"ipv6": row.ipv6, "ipv6_router": row.ipv6_router}
    return payload


def own_addresses() -> set[str]:
    return {
        str(one.ip if one.is_IPv4 else one.ip[0]) for adapter in ifaddr.get_adapters() for one in adapter.ips
    }
