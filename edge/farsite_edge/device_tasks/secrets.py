"""Passwords a task was given: sealed, and forgotten when it is done with, or some time after it failed."""

from __future__ import annotations

import json

from farsite_edge.devices.credentials import Account
from farsite_edge.store import Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_PREFIX = "task:"


class TaskSecrets:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def put(self, task: str, accounts: list[Account]) -> None:
        values = [[account.username, account.password] for account in accounts]
        await self._vault.put(_PREFIX + task, json.dumps(values))

    async def get(self, task: str) -> list[Account]:
        """Raises `precondition_failed` when they are forgotten."""
        text = await self._vault.get(_PREFIX + task)
        if text is None:
            raise FarsiteError(
                ErrorCode.PRECONDITION_FAILED,
                "The passwords this task was given are forgotten: they are kept sealed for an hour after a task failed. "
                "Start the task anew and enter them again.",
            )
        return [Account(*pair) for pair in json.loads(text)]

    async def tasks(self) -> list[str]:
        return [name.removeprefix(_PREFIX) for name in await self._vault.names(_PREFIX)]

    async def forget(self, task: str) -> None:
        await self._vault.forget(_PREFIX + task)
