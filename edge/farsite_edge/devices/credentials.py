"""Credentials of devices: kept sealed, and never tried so often that a device locks us out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from farsite_edge.store import Database, Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SAME_AGAIN = 60.0
"""Seconds before the very credentials a device refused may be tried again by a user."""


@dataclass(frozen=True)
class Account:
    username: str
    password: str = field(repr=False)


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
        self._interval = interval
        self._clock = clock
        self._last_try: dict[str, float] = {}

    async def kept(self, device: str) -> Account | None:
        """Whether or not the device refused it."""
        text = await self._vault.get(_secret(device))
        return None if text is None else Account(**json.loads(text))

    async def get(self, device: str) -> Account | None:
        """What to use by itself: nothing when the device refused what is kept."""
        account = await self.kept(device)
        if account is None:
            return None
        return None if await self._refused_at(device, account) is not None else account

    async def keep(self, device: str, account: Account) -> None:
        secret = json.dumps({"username": account.username, "password": account.password})
        await self._vault.put(_secret(device), secret)
        await self._database.execute("DELETE FROM refused_credentials WHERE device = ?", (device,))
        self._last_try.pop(device, None)

    async def forget(self, device: str) -> None:
        await self._vault.forget(_secret(device))

    async def begin_try(self, device: str, account: Account) -> None:
        """Before a user's attempt. Raises `rate_limited` with the seconds to wait."""
        now = self._clock()
        refused_at = await self._refused_at(device, account)
        wait = self._last_try.get(device, -self._interval) + self._interval - now
        if refused_at is not None:
            wait = max(wait, min(refused_at + SAME_AGAIN, now + SAME_AGAIN) - now)
        if wait > 0:
            raise FarsiteError(
                ErrorCode.RATE_LIMITED,
                f"The device refused a log-in just now. So that it does not lock us out, wait {wait:.0f} s.",
                retry_after=wait,
            )

    async def refused(self, device: str, account: Account) -> None:
        now = self._clock()
        self._last_try[device] = now
        sql = "INSERT OR REPLACE INTO refused_credentials VALUES (?, ?, ?)"
        await self._database.execute(sql, (device, self._digest(device, account), now))

    async def _refused_at(self, device: str, account: Account) -> float | None:
        sql = "SELECT at FROM refused_credentials WHERE device = ? AND digest = ?"
        rows = await self._database.fetch(sql, (device, self._digest(device, account)))
        return rows[0]["at"] if rows else None

    def _digest(self, device: str, account: Account) -> str:
        return self._vault.digest(json.dumps([device, account.username, account.password]))


def _secret(device: str) -> str:
    return f"device:{device}"
