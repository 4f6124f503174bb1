"""Checks assignments against what is known and what answers, and makes a task of the good ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ifaddr

from farsite_edge.assign.table import DHCP, conflicts, planned
from farsite_edge.device_tasks.service import ASSIGN, DeviceTasks, occupied
from farsite_edge.devices import DeviceManager
from farsite_edge.tasks import TaskRecord
from farsite_signaling.wire.assign_api import AssignPlanRow, AssignRequest
from farsite_signaling.wire.errors import FarsiteError

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
        known = {one.address: one.id for one in self._manager.registry.all()}
        rows = planned(request, self._model, lambda address: address in own or address in known)
        within = conflicts(rows)
        moving = {row.device for row in rows if row.address}
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
        address = _address(row)
        if problem is None and address:
            problem = self._taken(row, address, own, known, moving)
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
        address = _address(row)
        if row.problem is not None or not address or address == row.now:
            return row
        record = self._manager.registry.managed(row.device)
        try:
            self._manager.check_address(address, record.https_port or record.http_port)
        except FarsiteError as error:
            return row.model_copy(update={"problem": error.detail})
        async with limit:
            ports = tuple({record.http_port, record.https_port or 443, 80, 443})
            if await self._probe(address, ports):
                return row.model_copy(update={"problem": f"Somebody answers at {address} already."})
        return row


def _address(row: AssignPlanRow) -> str:
    return "" if row.address in ("", DHCP) else row.address.partition("/")[0]


def _payload(row: AssignPlanRow) -> dict[str, Any]:
    payload: dict[str, Any] = {"host_name": row.host_name, "dns": row.dns}
    if row.address:
        static = row.address != DHCP
        payload |= {"mode": "static" if static else DHCP, "address": row.address if static else ""}
        payload["router"] = row.router
    return payload


def own_addresses() -> set[str]:
    return {str(one.ip) for adapter in ifaddr.get_adapters() for one in adapter.ips if one.is_IPv4}
