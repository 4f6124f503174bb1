"""Changing the addresses of a device, of either family: set, look for it, and back when it does not return.

    (told nothing) -- set --> wait --> done: it is where it should be, with what it should have
                               |
                               +-- time over --> roll_back --> failed: has what it had, or is lost

A device that is reached over the other family is asked where it is; one that is reached over this family must come
back at the new address, and is followed there. What differs between families is `Family`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from farsite_edge.device_tasks.arriving import Occupied, check_free, is_at, is_ipv6, logged_in
from farsite_edge.device_tasks.holding import done
from farsite_edge.device_tasks.parts import Part
from farsite_edge.device_tasks.settings import Timing
from farsite_edge.devices import DeviceManager
from farsite_edge.devices.record import MAX_ADDRESSES, DeviceRecord
from farsite_edge.tasks import Outcome
from farsite_edge.tasks.steady import steady
from farsite_edge.vapix import Refused
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Search = Callable[[str], Awaitable[None]]
"""Looks for a device; where it seems to be is noted in the registry (`elsewhere`)."""
TOLD = "told"
InfoT = TypeVar("InfoT")
SettingsT = TypeVar("SettingsT")


class Family(Protocol[InfoT, SettingsT]):
    """What devices have of one address family. `ending`: of its steps' names. `info` is what a device says, `settings`
    what of it can be chosen, `kept` what of it is remembered over crashes, to be put back."""

    ipv6: bool
    ending: str

    def wanted(self, payload: dict[str, Any]) -> SettingsT: ...
    def refusal(self, info: InfoT, wanted: SettingsT, *, reached: bool) -> str | None:
        """Why nothing is even tried. `reached`: over this family."""

    async def read(self, client: Any) -> InfoT: ...
    async def write(self, client: Any, info: InfoT, wanted: SettingsT) -> None: ...
    async def put_back(self, client: Any, info: InfoT, kept: Any) -> None: ...
    def keep(self, info: InfoT) -> Any: ...
    def has(self, info: InfoT, wanted: SettingsT) -> bool: ...
    def has_kept(self, info: InfoT, kept: Any) -> bool: ...
    def address(self, wanted: SettingsT) -> str | None:
        """The one it gets; None: not known before it has one."""

    def described(self, wanted: SettingsT) -> str: ...
    def described_kept(self, kept: Any) -> str: ...


class AddressChange(Generic[InfoT, SettingsT]):
    def __init__(
        self,
        family: Family[InfoT, SettingsT],
        manager: DeviceManager,
        search: Search,
        occupied: Occupied,
        timing: Timing,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._family = family
        self._manager = manager
        self._search = search
        self._occupied = occupied
        self._timing = timing
        self._clock = clock

    async def __call__(self, work: Part) -> Outcome:
        await self._manager.updating(work.device)
        wanted = self._family.wanted(work.payload)
        if work.memory is None and (outcome := await self._begin(work, wanted)) is not None:
            return outcome
        memory = dict(work.memory or {})
        if not memory.get(TOLD):
            await self._tell(work.device, memory, wanted)
        return await self._arrive(work, memory | {TOLD: True}, wanted)

    async def _begin(self, work: Part, wanted: SettingsT) -> Outcome | None:
        """What there is to say when there is nothing to do."""
        family, record = self._family, self._record(work.device)
        info = await self._read(record)
        if why := family.refusal(info, wanted, reached=self._moves(record.address)):
            return _failed(why)
        if family.has(info, wanted):
            return done(f"The device has {family.described(wanted)} already.")
        if (address := family.address(wanted)) is not None:
            await check_free(self._manager, record, address, self._occupied)
        until = self._clock() + self._timing.moved
        memory = {"before": family.keep(info), "old": record.address, "until": until}
        await self._step(work, memory, "set", f"Sets {family.described(wanted)}.")
        return None

    async def _tell(self, device: str, memory: dict[str, Any], wanted: SettingsT) -> None:
        """Also after a crash that may have come before it was told: only one that has what it had is."""
        there = await is_at(self._manager, self._record(device), memory["old"])
        if there is None:
            return  # on its way, or it will be looked for
        info = await self._read(there)
        if self._family.has_kept(info, memory["before"]):
            client = await logged_in(self._manager, there)
            await self._maybe_lost(self._family.write(client, info, wanted))

    async def _arrive(self, work: Part, memory: dict[str, Any], wanted: SettingsT) -> Outcome:
        await self._step(work, memory, "wait", f"Waits until it answers {self._where(wanted)}.")
        await asyncio.sleep(self._timing.settle)
        seeks = self._moves(memory["old"]) and self._family.address(wanted) is None
        # Looked for once however late it is: after a crash it may be there long since.
        for rounds in count():
            if seeks and rounds % 3 == 0:
                await self._search(work.device)
            for address in self._places(work.device, memory["old"], wanted):
                there = await is_at(self._manager, self._record(work.device), address)
                if there is not None and await self._has(there, lambda info: self._family.has(info, wanted)):
                    return await self._arrived(there, memory["old"], wanted)
            if self._clock() >= memory["until"]:
                break
            await asyncio.sleep(self._timing.poll)
        return await self._go_back(work, memory, wanted)

    async def _arrived(self, there: DeviceRecord, old: str, wanted: SettingsT) -> Outcome:
        described, address = self._family.described(wanted), self._family.address(wanted)
        if self._moves(old):
            await self._manager.looks.follow(there)
            return done(f"It answers at {there.address}, with {described}.")
        if address is None:
            return done(f"It has {described}.")
        return await self._also(there, address, described)

    async def _also(self, there: DeviceRecord, address: str, described: str) -> Outcome:
        """Beside the address it is known at: nothing depends on whether there is a way to it from here."""
        if await is_at(self._manager, there, address) is None:
            said = f"It has {described}; from the edge host it does not answer there"
            return done(f"{said}, and goes on at {there.address}.")
        known = list(dict.fromkeys([*self._record(there.id).addresses, address]))[:MAX_ADDRESSES]
        await self._manager.registry.update(there.id, addresses=known)
        return done(f"It answers at {address} too, with {described}.")

    async def _go_back(self, work: Part, memory: dict[str, Any], wanted: SettingsT) -> Outcome:
        where = self._where(wanted)
        await self._step(work, memory, "roll_back", f"It does not answer {where}: it is looked for.")
        await self._search(work.device)
        new = self._family.address(wanted)
        places = [memory["old"], *self._seen(work.device), *([new] if new else [])]
        for address in dict.fromkeys(places):
            there = await is_at(self._manager, self._record(work.device), address)
            if there is not None:
                return await self._put_back(memory, there)
        return Outcome(
            WorkState.FAILED,
            f"It answers neither {where} nor where it was, and was not found elsewhere. Its former settings were "
            f"{self._family.described_kept(memory['before'])}. Look at it on site.",
            ErrorCode.DEVICE_UNREACHABLE,
        )

    async def _put_back(self, memory: dict[str, Any], there: DeviceRecord) -> Outcome:
        family, before = self._family, memory["before"]
        former = family.described_kept(before)
        info = await self._read(there)
        if family.has_kept(info, before):
            await self._manager.looks.follow(there)
            return _failed(f"The device kept its former settings, {former}.")
        client = await logged_in(self._manager, there)
        await self._maybe_lost(family.put_back(client, info, before))
        back = await self._returned(there, memory)
        if back is None:
            return _failed(f"{former} was put back, but it does not answer with it. Look at it on site.")
        await self._manager.looks.follow(back)
        moved = there.address != memory["old"]
        happened = f"It came up at {there.address} instead" if moved else "It did not take them"
        return _failed(f"{happened}; its former settings, {former}, are put back.")

    async def _returned(self, there: DeviceRecord, memory: dict[str, Any]) -> DeviceRecord | None:
        until = self._clock() + self._timing.moved
        while self._clock() < until:
            for address in dict.fromkeys([memory["old"], there.address, *self._seen(there.id)]):
                back = await is_at(self._manager, self._record(there.id), address)
                if back is not None and await self._has(
                    back, lambda info: self._family.has_kept(info, memory["before"])
                ):
                    return back
            await asyncio.sleep(self._timing.poll)
        return None

    def _moves(self, old: str) -> bool:
        """Whether it is reached over this family: where it is, is about to change."""
        return is_ipv6(old) is self._family.ipv6

    def _places(self, device: str, old: str, wanted: SettingsT) -> Iterable[str]:
        """Where the device may be by now."""
        if not self._moves(old):
            return [old]
        address = self._family.address(wanted)
        return [address] if address is not None else dict.fromkeys([old, *self._seen(device)])

    def _seen(self, device: str) -> list[str]:
        elsewhere = self._record(device).elsewhere
        return [elsewhere.address] if elsewhere else []

    def _where(self, wanted: SettingsT) -> str:
        address = self._family.address(wanted)
        return f"at {address}" if address is not None else f"with {self._family.described(wanted)}"

    async def _has(self, there: DeviceRecord, true: Callable[[InfoT], bool]) -> bool:
        try:
            return true(await self._read(there))
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CREDENTIALS:
                raise
            return False

    async def _read(self, record: DeviceRecord) -> InfoT:
        client = await logged_in(self._manager, record)
        info: InfoT = await self._manager.contact.bounded(self._family.read(client))
        return info

    async def _maybe_lost(self, change: Awaitable[None]) -> None:
        """The answer may be lost with the address."""
        try:
            await self._manager.contact.bounded(change)
        except FarsiteError as error:
            if error.code is not ErrorCode.DEVICE_UNREACHABLE or isinstance(error, Refused):
                raise

    async def _step(self, work: Part, memory: dict[str, Any], name: str, detail: str) -> None:
        await work.checkpoint(memory, f"{name}{self._family.ending}", detail)

    def _record(self, device: str) -> DeviceRecord:
        return self._manager.registry.managed(device)


def _failed(detail: str) -> Outcome:
    return Outcome(WorkState.FAILED, detail[:500], ErrorCode.DEVICE_ANSWER)
