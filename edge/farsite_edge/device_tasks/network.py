"""Changing the address of a device, and back when it does not return at the new one."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from farsite_edge.device_tasks.arriving import check_free, is_at, is_ipv6, logged_in
from farsite_edge.device_tasks.change import AddressChange, failed
from farsite_edge.device_tasks.holding import done
from farsite_edge.device_tasks.parts import Part
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.tasks import Outcome
from farsite_edge.vapix import Refused
from farsite_edge.vapix.network import DHCP, STATIC, IPv4Settings, NetworkInfo
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class ChangeNetwork(AddressChange):
    async def __call__(self, work: Part) -> Outcome:
        await self._manager.updating(work.device)
        wanted = wanted_of(work.payload)
        if work.memory is None:
            network = await self._network(self._record(work.device))
            if same(network.ipv4, wanted):
                return done("The device has these settings already.")
            await self._check_free(work.device, wanted)
            memory = self._remember(work.device, network)
            await work.checkpoint(memory, "set", f"Sets {described(wanted)}.")
            await self._set(self._record(work.device), network, wanted)
        return await self._arrive(work, dict(work.memory or {}), wanted)

    def _remember(self, device: str, network: NetworkInfo) -> dict[str, Any]:
        before = network.ipv4
        return {
            "before": [before.mode, before.address, before.prefix, before.router],
            "interface": network.interface,
            "by_api": network.by_api,
            "old": self._record(device).address,
            "until": self._clock() + self._timing.moved,
        }

    async def _check_free(self, device: str, wanted: IPv4Settings) -> None:
        if wanted.mode == STATIC:
            await check_free(self._manager, self._record(device), wanted.address, self._occupied)

    async def _network(self, record: DeviceRecord) -> NetworkInfo:
        client = await logged_in(self._manager, record)
        network: NetworkInfo = await self._manager.contact.bounded(client.network())
        return network

    async def _set(self, record: DeviceRecord, network: NetworkInfo, settings: IPv4Settings) -> None:
        """The answer may be lost with the address."""
        client = await logged_in(self._manager, record)
        try:
            await self._manager.contact.bounded(client.set_ipv4(network, settings))
        except FarsiteError as error:
            if error.code is not ErrorCode.DEVICE_UNREACHABLE or isinstance(error, Refused):
                raise

    async def _arrive(self, work: Part, memory: dict[str, Any], wanted: IPv4Settings) -> Outcome:
        await work.checkpoint(memory, "wait", f"Waits until it answers {_where(wanted)}.")
        await asyncio.sleep(self._timing.settle)
        # Looked for once however late it is: after a crash it may be there long since.
        for rounds in count():
            if wanted.mode == DHCP and rounds % 3 == 0:
                await self._search(work.device)
            there = await self._at_new(work.device, memory["old"], wanted)
            if there is not None:
                await self._manager.looks.follow(there)
                return done(f"It answers at {there.address}, with {described(wanted)}.")
            if self._clock() >= memory["until"]:
                break
            await asyncio.sleep(self._timing.poll)
        return await self._go_back(work, memory, wanted)

    async def _at_new(self, device: str, old: str, wanted: IPv4Settings) -> DeviceRecord | None:
        """Where the device is, with the settings it should have."""
        record = self._record(device)
        seen = record.elsewhere.address if record.elsewhere else None
        if is_ipv6(old):
            addresses = [old]  # where it is reached nothing changes
        else:
            addresses = [wanted.address] if wanted.mode == STATIC else [old, *([seen] if seen else [])]
        for address in addresses:
            there = await is_at(self._manager, record, address)
            if there is not None and await self._has(there, wanted):
                return there
        return None

    async def _has(self, there: DeviceRecord, wanted: IPv4Settings) -> bool:
        try:
            return same((await self._network(there)).ipv4, wanted)
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                raise
            return False

    async def _go_back(self, work: Part, memory: dict[str, Any], wanted: IPv4Settings) -> Outcome:
        before = IPv4Settings(*memory["before"])
        await work.checkpoint(memory, "roll_back", f"It does not answer {_where(wanted)}: it is looked for.")
        await self._search(work.device)
        record = self._record(work.device)
        addresses = dict.fromkeys([memory["old"], *([record.elsewhere.address] if record.elsewhere else [])])
        for address in addresses:
            there = await is_at(self._manager, record, address)
            if there is not None:
                return await self._put_back(work, memory, there, before)
        detail = (
            f"It answers neither {_where(wanted)} nor where it was, and was not found elsewhere. Its former "
            f"settings were {described(before)}. Look at it on site."
        )
        return Outcome(WorkState.FAILED, detail, ErrorCode.DEVICE_UNREACHABLE)

    async def _put_back(
        self, work: Part, memory: dict[str, Any], there: DeviceRecord, before: IPv4Settings
    ) -> Outcome:
        network = await self._network(there)
        if same(network.ipv4, before):
            await self._manager.looks.follow(there)
            return failed(f"The device kept its former settings, {described(before)}.")
        await self._set(there, network, before)
        until = self._clock() + self._timing.moved
        while self._clock() < until:
            back = await self._at_new(work.device, memory["old"], before)
            if back is not None:
                await self._manager.looks.follow(back)
                return failed(f"It came up at {there.address} instead; {described(before)} is put back.")
            await asyncio.sleep(self._timing.poll)
        return failed(f"{described(before)} was put back, but it does not answer there. Look at it on site.")


def wanted_of(payload: dict[str, Any]) -> IPv4Settings:
    address, _, prefix = str(payload.get("address") or "").partition("/")
    return IPv4Settings(str(payload["mode"]), address, int(prefix or 0), str(payload.get("router") or ""))


def same(now: IPv4Settings, wanted: IPv4Settings) -> bool:
    if now.mode != wanted.mode:
        return False
    return wanted.mode == DHCP or (now.address, now.prefix, now.router) == (
        wanted.address,
        wanted.prefix,
        wanted.router,
    )


def described(settings: IPv4Settings) -> str:
    if settings.mode == DHCP:
        return "DHCP"
    router = f", router {settings.router}" if settings.router else ""
    return f"{settings.address}/{settings.prefix}{router}"


def _where(wanted: IPv4Settings) -> str:
    return f"at {wanted.address}" if wanted.mode == STATIC else "with an address from DHCP"
