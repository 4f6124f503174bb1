"""Changing the IPv6 settings of a device, and back when it is lost by that.

A device that is reached over IPv4 is asked there whether it has them; one that is reached over IPv6 must come back at the
new address, and is followed there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from farsite_edge.device_tasks.arriving import check_free, is_at, is_ipv6, logged_in
from farsite_edge.device_tasks.change import AddressChange, failed
from farsite_edge.device_tasks.holding import done
from farsite_edge.device_tasks.parts import Part
from farsite_edge.devices.record import MAX_ADDRESSES, DeviceRecord
from farsite_edge.tasks import Outcome
from farsite_edge.vapix import Refused
from farsite_edge.vapix.ipv6 import AUTO, OFF, PREFIX, STATIC, IPv6Info, IPv6Settings
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class ChangeIPv6(AddressChange):
    async def __call__(self, work: Part) -> Outcome:
        await self._manager.updating(work.device)
        wanted = wanted_of(work.payload)
        if work.memory is None:
            record = self._record(work.device)
            info = await self._info(record)
            if info is None:
                return failed("Its firmware has no IPv6 settings that are known here.")
            if wanted.mode == OFF and is_ipv6(record.address):
                return failed("The edge host reaches it over IPv6: switched off, it would be lost.")
            if info.settings == wanted:
                return done(f"It has {described(wanted)} already.")
            if wanted.mode == STATIC:
                await check_free(self._manager, record, _plain(wanted.address), self._occupied)
            memory = {
                "before": info.raw,
                "old": record.address,
                "until": self._clock() + self._timing.moved,
            }
            await work.checkpoint(memory, "set_ipv6", f"Sets {described(wanted)}.")
            await self._set(record, info, wanted)
        return await self._arrive(work, dict(work.memory or {}), wanted)

    async def _info(self, record: DeviceRecord) -> IPv6Info | None:
        client = await logged_in(self._manager, record)
        info: IPv6Info | None = await self._manager.contact.bounded(client.ipv6())
        return info

    async def _set(self, record: DeviceRecord, info: IPv6Info, wanted: IPv6Settings) -> None:
        client = await logged_in(self._manager, record)
        try:
            await _maybe_lost(self._manager.contact.bounded(client.set_ipv6(info, wanted)))
        except Refused:
            with suppress(Refused):  # what it refuses it has not changed; the rest it may have
                await _maybe_lost(self._manager.contact.bounded(client.update_parameters(former(info.raw))))
            raise

    async def _arrive(self, work: Part, memory: dict[str, Any], wanted: IPv6Settings) -> Outcome:
        await work.checkpoint(memory, "wait_ipv6", "Waits until it answers with them.")
        await asyncio.sleep(self._timing.settle)
        moves = is_ipv6(memory["old"])
        # Looked for once however late it is: after a crash it may be there long since.
        for rounds in count():
            if moves and wanted.mode == AUTO and rounds % 3 == 0:
                await self._search(work.device)
            for address in self._places(work.device, memory["old"], wanted):
                there = await is_at(self._manager, self._record(work.device), address)
                if there is not None and await self._has(there, wanted):
                    return await self._arrived(there, wanted, moves=moves)
            if self._clock() >= memory["until"]:
                break
            await asyncio.sleep(self._timing.poll)
        return await self._go_back(work, memory, wanted)

    def _places(self, device: str, old: str, wanted: IPv6Settings) -> list[str]:
        """Where the device may be by now."""
        if not is_ipv6(old):
            return [old]
        if wanted.mode == STATIC:
            return [_plain(wanted.address)]
        seen = self._record(device).elsewhere
        return list(dict.fromkeys([old, *([seen.address] if seen else [])]))

    async def _has(self, there: DeviceRecord, wanted: IPv6Settings) -> bool:
        try:
            info = await self._info(there)
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                raise
            return False
        return info is not None and info.settings == wanted

    async def _arrived(self, there: DeviceRecord, wanted: IPv6Settings, *, moves: bool) -> Outcome:
        if moves:
            await self._manager.looks.follow(there)
            return done(f"It answers at {there.address}, with {described(wanted)}.")
        if wanted.mode != STATIC:
            return done(f"It has {described(wanted)}.")
        return await self._also(there, wanted)

    async def _also(self, there: DeviceRecord, wanted: IPv6Settings) -> Outcome:
        """Beside the address it is known at: nothing depends on whether there is a way to it from here."""
        address = _plain(wanted.address)
        if await is_at(self._manager, there, address) is None:
            said = f"It has {described(wanted)}; from the edge host it does not answer there"
            return done(f"{said}, and goes on at {there.address}.")
        record = self._record(there.id)
        known = list(dict.fromkeys([*record.addresses, address]))[:MAX_ADDRESSES]
        await self._manager.registry.update(record.id, addresses=known)
        return done(f"It answers at {address} too, with {described(wanted)}.")

    async def _go_back(self, work: Part, memory: dict[str, Any], wanted: IPv6Settings) -> Outcome:
        await work.checkpoint(memory, "roll_back_ipv6", f"It does not answer with {described(wanted)}.")
        await self._search(work.device)
        record = self._record(work.device)
        elsewhere = [record.elsewhere.address] if record.elsewhere else []
        new = [_plain(wanted.address)] if wanted.mode == STATIC else []
        for address in dict.fromkeys([memory["old"], *elsewhere, *new]):
            there = await is_at(self._manager, record, address)
            if there is not None:
                return await self._put_back(memory, there, wanted)
        return Outcome(
            WorkState.FAILED,
            f"It answers neither with {described(wanted)} nor where it was, and was not found elsewhere. Look at it on "
            "site.",
            ErrorCode.DEVICE_UNREACHABLE,
        )

    async def _put_back(self, memory: dict[str, Any], there: DeviceRecord, wanted: IPv6Settings) -> Outcome:
        info = await self._info(there)
        before: dict[str, str] = memory["before"]
        if info is not None and info.raw == before:
            await self._manager.looks.follow(there)
            return failed("The device kept its former IPv6 settings.")
        client = await logged_in(self._manager, there)
        await _maybe_lost(self._manager.contact.bounded(client.update_parameters(former(before))))
        until = self._clock() + self._timing.moved
        while self._clock() < until:
            for address in dict.fromkeys([memory["old"], there.address]):
                back = await is_at(self._manager, self._record(there.id), address)
                if back is not None:
                    await self._manager.looks.follow(back)
                    return failed(
                        f"It did not come back with {described(wanted)}; its former IPv6 settings are put back."
                    )
            await asyncio.sleep(self._timing.poll)
        return failed("Its former IPv6 settings were put back, but it does not answer. Look at it on site.")


async def _maybe_lost(change: Awaitable[Any]) -> None:
    """The answer may be lost with the address."""
    try:
        await change
    except FarsiteError as error:
        if error.code is not ErrorCode.DEVICE_UNREACHABLE or isinstance(error, Refused):
            raise


def former(raw: Mapping[str, str]) -> dict[str, str]:
    return {f"{PREFIX}{name}": value for name, value in raw.items()}


def wanted_of(payload: dict[str, Any]) -> IPv6Settings:
    mode = str(payload["ipv6"])
    if mode in (AUTO, OFF):
        return IPv6Settings(mode)
    return IPv6Settings(STATIC, mode, str(payload.get("ipv6_router") or ""))


def described(settings: IPv6Settings) -> str:
    if settings.mode == OFF:
        return "IPv6 switched off"
    if settings.mode == AUTO:
        return "IPv6 by router advertisements"
    router = f", IPv6 router {settings.router}" if settings.router else ""
    return f"{settings.address}{router}"


def _plain(address: str) -> str:
    return address.partition("/")[0]
