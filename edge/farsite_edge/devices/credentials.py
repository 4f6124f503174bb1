"""Credentials of devices: kept sealed, and never tried so often that a device locks us out.

A password that is about to be set on a device is kept first, as a candidate: whatever happens then, one of the two
that are kept is the device's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from farsite_edge.devices.attempts import Attempts
from farsite_edge.store import Database, Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SAME_AGAIN = 60.0
"""Seconds before the very credentials a device refused may be tried again by a user."""
MAX_HISTORY = 20
_PREFIX, _CANDIDATE, _HISTORY, _ONVIF = "device:", "candidate:", "history:", "onvif:"


@dataclass(frozen=True)
class Account:
    username: str
    password: str = field(repr=False)


class Candidate(BaseModel):
    """An account that is being made or changed on a device. `own`: an account of the edge host's own."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    username: str
    password: str = Field(repr=False)
    own: bool = False

    @property
    def account(self) -> Account:
        return Account(self.username, self.password)


class Past(BaseModel):
    """Credentials used before. `still_valid`: the account was left as it was."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    username: str
    password: str = Field(repr=False)
    until: datetime
    still_valid: bool = False

    @property
    def account(self) -> Account:
        return Account(self.username, self.password)


_PASTS = TypeAdapter(list[Past])


class CredentialStore:
    """The automatic side never retries what a device refused; a user may, slowly."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        interval: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._vault = vault
        self._attempts = Attempts(interval)
        self._clock = clock
        self._last_try: dict[str, float] = {}
        # Every question to a device begins here: what was read once is not read again for each.
        self._opened: dict[str, Account | None] = {}
        self._refused: dict[str, dict[str, float]] = {}  # times by digest
        self.unresolved: set[str] = set()
        """Devices that have a candidate."""

    async def load(self) -> None:
        names = await self._vault.names(_CANDIDATE)
        self.unresolved = {name.removeprefix(_CANDIDATE) for name in names}
        for row in await self._database.fetch("SELECT device, digest, at FROM refused_credentials"):
            self._refused.setdefault(row["device"], {})[row["digest"]] = row["at"]

    async def get(self, device: str) -> Account | None:
        """What to use by itself: nothing when the device refused what is kept."""
        account = await self.kept(device)
        return None if account is None or self._was_refused(device, account) else account

    async def needed(self, device: str) -> Account:
        """What `get` gives. Raises `device_credentials` when that is nothing."""
        account = await self.get(device)
        if account is None:
            raise FarsiteError(ErrorCode.DEVICE_CREDENTIALS, f"Log in to the device {device} first.")
        return account

    async def kept(self, device: str) -> Account | None:
        """Whether the device refused it or not."""
        if device not in self._opened:
            text = await self._vault.get(_PREFIX + device)
            # What was written meanwhile is newer than what was read.
            self._opened.setdefault(device, Account(**json.loads(text)) if text is not None else None)
        return self._opened[device]

    async def keep(self, device: str, account: Account) -> None:
        """It works: from now on it is used. What was kept before goes into the history."""
        await self._keep(device, account, still_valid=False)

    async def forget(self, device: str) -> None:
        """All of a device, its history too."""
        await self._vault.change(
            dict.fromkeys([kind + device for kind in (_PREFIX, _CANDIDATE, _HISTORY, _ONVIF)])
        )
        self._opened[device] = None
        self.unresolved.discard(device)

    async def _keep(self, device: str, account: Account, *, still_valid: bool) -> None:
        values: dict[str, str | None] = {_PREFIX + device: _sealed(account), _CANDIDATE + device: None}
        before = await self.kept(device)
        if before is not None and before != account:
            past = Past(
                username=before.username,
                password=before.password,
                until=datetime.fromtimestamp(self._clock(), UTC),
                still_valid=still_valid,
            )
            values[_HISTORY + device] = _PASTS.dump_json(
                [past, *await self.history(device)][:MAX_HISTORY]
            ).decode()
        await self._vault.change(values)
        self._opened[device] = account
        if self._refused.get(device):
            await self._database.execute("DELETE FROM refused_credentials WHERE device = ?", (device,))
            del self._refused[device]
        self._last_try.pop(device, None)
        self.unresolved.discard(device)

    # Changing what is used

    async def propose(self, device: str, candidate: Candidate) -> None:
        """Before the device is told of it."""
        await self._vault.put(_CANDIDATE + device, candidate.model_dump_json())
        self.unresolved.add(device)

    async def candidate(self, device: str) -> Candidate | None:
        if device not in self.unresolved:
            return None
        text = await self._vault.get(_CANDIDATE + device)
        return Candidate.model_validate_json(text) if text is not None else None

    async def promote(self, device: str) -> None:
        """The candidate works: from now on it is used."""
        candidate = await self.candidate(device)
        if candidate is not None:
            await self._keep(device, candidate.account, still_valid=candidate.own)

    async def drop(self, device: str) -> None:
        """The device never took the candidate."""
        await self._vault.forget(_CANDIDATE + device)
        self.unresolved.discard(device)

    async def history(self, device: str) -> list[Past]:
        """Newest first."""
        text = await self._vault.get(_HISTORY + device)
        return _PASTS.validate_json(text) if text is not None else []

    # The ONVIF account of the same name

    async def keep_onvif(self, device: str, account: Account) -> None:
        """It was given this password."""
        await self._vault.put(_ONVIF + device, self._digest(device, account))

    async def is_onvif(self, device: str, account: Account) -> bool:
        """Whether this is what it was given last."""
        return await self._vault.get(_ONVIF + device) == self._digest(device, account)

    async def forget_onvif(self, device: str) -> None:
        if await self._vault.get(_ONVIF + device) is not None:
            await self._vault.forget(_ONVIF + device)

    # Trying

    async def begin_try(self, device: str, account: Account) -> None:
        """Before a user's attempt. Raises `rate_limited` with the seconds to wait."""
        now = self._clock()
        refused = self._refused.get(device, {})
        wait = self._attempts.wait(refused.values(), self._last_try.get(device), now)
        same = refused.get(self._digest(device, account))
        if same is not None:
            wait = max(wait, min(same + SAME_AGAIN, now + SAME_AGAIN) - now)
        if wait > 0:
            raise FarsiteError(
                ErrorCode.RATE_LIMITED,
                f"The device refused a log-in just now. So that it does not lock us out, wait {wait:.0f} s.",
                retry_after=wait,
            )

    async def refused(self, device: str, account: Account) -> None:
        now = self._clock()
        self._last_try[device] = now
        sql, digest = (
            "INSERT OR REPLACE INTO refused_credentials VALUES (?, ?, ?)",
            self._digest(device, account),
        )
        self._refused.setdefault(device, {})[digest] = now
        await self._database.execute(sql, (device, digest, now))

    async def was_refused(self, device: str, account: Account) -> bool:
        return self._was_refused(device, account)

    async def forgive(self, device: str, account: Account) -> None:
        """The device was told this very account: what it said before counts no more."""
        sql = "DELETE FROM refused_credentials WHERE device = ? AND digest = ?"
        digest = self._digest(device, account)
        await self._database.execute(sql, (device, digest))
        self._refused.get(device, {}).pop(digest, None)

    def _was_refused(self, device: str, account: Account) -> bool:
        known = self._refused.get(device)
        return known is not None and self._digest(device, account) in known

    def _digest(self, device: str, account: Account) -> str:
        return self._vault.digest(json.dumps([device, account.username, account.password]))


def _sealed(account: Account) -> str:
    return json.dumps({"username": account.username, "password": account.password})
