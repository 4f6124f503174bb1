"""Makes and changes the accounts the edge host uses on devices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from farsite_edge.devices.contact import Contact
from farsite_edge.devices.credentials import Account, Candidate, CredentialStore
from farsite_edge.devices.onvif import keep_in_step
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.devices.registry import Registry
from farsite_edge.devices.rotation import MAX_SETS, Facts, Step, Told, next_step, told
from farsite_edge.vapix import Refused
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

TRIES = 6
logger = logging.getLogger(__name__)
Noted = Callable[[Step], Awaitable[None]]


class Change(StrEnum):
    """`first`: of a factory-new device; `rotate`: another password for the account in use; `own`: an account of the
    edge host's own beside the one in use."""

    FIRST = "first"
    ROTATE = "rotate"
    OWN = "own"


async def _unnoted(_step: Step) -> None:
    return None


class AccountChanger:
    """The caller keeps everybody else away from the device. `pause`: seconds between tries while it is silent."""

    def __init__(
        self, registry: Registry, credentials: CredentialStore, contact: Contact, *, pause: float = 3.0
    ) -> None:
        self._registry = registry
        self._credentials = credentials
        self._contact = contact
        self._pause = pause

    async def change(
        self, device: str, candidate: Candidate, change: Change, noted: Noted = _unnoted
    ) -> tuple[Step, str]:
        """How it ended, and what the device said. Raises `device_unreachable` when it stays silent in the middle:
        then the candidate stays kept."""
        facts = Facts(keep_old=change is not Change.ROTATE)
        return await _Course(self, device, candidate, change, noted).run(facts)

    async def go_on(
        self, device: str, change: Change, *, was_used: bool, noted: Noted = _unnoted
    ) -> tuple[Step, str]:
        """After an interruption; `was_used`: it got so far that only the old password was left to try."""
        candidate = await self._credentials.candidate(device)
        if candidate is not None:
            facts = Facts.interrupted(keep_old=change is not Change.ROTATE)
            return await _Course(self, device, candidate, change, noted).run(facts)
        if not was_used:
            return Step.FAILED, ""
        kept = await self._credentials.kept(device)
        done = Candidate(username=kept.username, password=kept.password) if kept else None
        facts = Facts(
            keep_old=change is not Change.ROTATE, kept=True, told=Told.YES, new_works=True, used=True
        )
        return await _Course(self, device, done, change, noted).run(facts)

    async def resolve(self, record: DeviceRecord) -> None:
        """Find out which of two accounts is the device's; nothing is set. Raises `device_unreachable`."""
        candidate = await self._credentials.candidate(record.id)
        if candidate is None:
            return
        change = Change.OWN if candidate.own else Change.ROTATE
        if await self._credentials.kept(record.id) is None:
            change = Change.FIRST
        facts = replace(Facts.interrupted(keep_old=True), sets=MAX_SETS)
        step, _ = await _Course(self, record.id, candidate, change, _unnoted).run(facts)
        logger.info("device %s: its interrupted change of account ended as %s", record.id, step)

    async def works(self, device: str, account: Account | None) -> bool:
        """Whether the device takes an account. What it refused before is not tried again."""
        if account is None:
            return False
        if await self._credentials.was_refused(device, account):
            return False
        return await self._until_it_answers(device, account)

    async def _until_it_answers(self, device: str, account: Account) -> bool:
        for left in reversed(range(TRIES)):
            try:
                client = self._contact.client(self._registry.managed(device), account)
                await self._contact.bounded(client.rights())
                return True
            except FarsiteError as error:
                if error.code is ErrorCode.DEVICE_CREDENTIALS:
                    await self._credentials.refused(device, account)
                    return False
                if error.code is not ErrorCode.DEVICE_UNREACHABLE or not left:
                    raise
                await asyncio.sleep(self._pause)
        return False


class _Course:
    """One change on one device."""

    def __init__(
        self, owner: AccountChanger, device: str, candidate: Candidate | None, change: Change, noted: Noted
    ) -> None:
        self._owner = owner
        self._registry = owner._registry
        self._contact = owner._contact
        self._credentials = owner._credentials
        self._device = device
        self._candidate = candidate
        self._change = change
        self._noted = noted
        self._said = ""

    async def run(self, facts: Facts) -> tuple[Step, str]:
        acts = {
            Step.KEEP: self._keep,
            Step.SET: self._set,
            Step.TRY_NEW: self._try_new,
            Step.USE: self._use,
            Step.ONVIF: self._onvif,
            Step.TRY_OLD: self._try_old,
            Step.DROP: self._drop,
        }
        while True:
            step = next_step(facts)
            if step not in acts:
                return step, self._said
            if step is not Step.KEEP:
                await self._noted(step)
            facts = await acts[step](facts)

    @property
    def _new(self) -> Candidate:
        assert self._candidate is not None
        return self._candidate

    async def _keep(self, facts: Facts) -> Facts:
        await self._credentials.propose(self._device, self._new)
        return replace(facts, kept=True)

    async def _set(self, facts: Facts) -> Facts:
        answer = await self._tell()
        if answer is Told.YES:
            await self._credentials.forgive(self._device, self._new.account)
        return told(facts, answer)

    async def _tell(self) -> Told:
        try:
            await self._contact.bounded(self._ask_device())
        except FarsiteError as error:
            self._said = error.detail
            refused = isinstance(error, Refused) or error.code in (
                ErrorCode.DEVICE_CREDENTIALS,
                ErrorCode.INVALID_REQUEST,
            )
            return Told.NO if refused else Told.UNKNOWN
        return Told.YES

    async def _ask_device(self) -> None:
        record = self._registry.managed(self._device)
        new = self._new
        if self._change is Change.FIRST:
            await _make_first(self._contact.client(record, None), new)
            return
        account = await self._credentials.kept(self._device)
        client = self._contact.client(record, account)
        if self._change is Change.ROTATE:
            await client.update_user(new.username, password=new.password)
            return
        names = {user.name for user in await client.users()}
        if new.username in names:
            await client.update_user(new.username, password=new.password)
        else:
            await client.add_user(new.username, new.password)

    async def _try_new(self, facts: Facts) -> Facts:
        return replace(facts, new_works=await self._owner.works(self._device, self._new.account))

    async def _use(self, facts: Facts) -> Facts:
        await self._credentials.promote(self._device)
        await self._registry.update(
            self._device,
            log_in=True,
            service_account=self._new.own,
            password_changed_at=datetime.now(UTC),
            setup_required=False,
        )
        return replace(facts, used=True)

    async def _onvif(self, facts: Facts) -> Facts:
        """What goes wrong with it costs nothing of what is used already."""
        client = self._contact.client(self._registry.managed(self._device), self._new.account)
        try:
            await self._contact.bounded(
                keep_in_step(client, self._credentials, self._device, self._new.account)
            )
        except FarsiteError as error:
            self._said = error.detail
            return replace(facts, onvif=False)
        return replace(facts, onvif=True)

    async def _try_old(self, facts: Facts) -> Facts:
        if self._change is Change.FIRST and not facts.used:
            return replace(facts, old_works=await self._is_new())
        return replace(facts, old_works=await self._owner.works(self._device, await self._old(facts)))

    async def _old(self, facts: Facts) -> Account | None:
        if not facts.used:
            return await self._credentials.kept(self._device)
        history = await self._credentials.history(self._device)
        return history[0].account if history else None

    async def _is_new(self) -> bool:
        """Still as it came from the factory."""
        client = self._contact.client(self._registry.managed(self._device), None)
        return bool((await self._contact.bounded(client.system_ready())).setup_required)

    async def _drop(self, facts: Facts) -> Facts:
        await self._credentials.drop(self._device)
        return replace(facts, dropped=True)


async def _make_first(client: Any, new: Candidate) -> None:
    """Firmware before 11.5 takes only root as the first; another name is then made by it."""
    try:
        await client.add_first_user(new.username, new.password)
    except Refused as error:
        if "initial admin" not in error.detail or new.username == "root":
            raise
        await client.add_first_user("root", new.password)
        client.log_in_as("root", new.password)
        await client.add_user(new.username, new.password)
