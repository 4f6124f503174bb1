"""Logging in to many devices with few credentials."""

from __future__ import annotations

from collections import Counter

from farsite_edge.device_tasks.holding import cancelled, done, pause
from farsite_edge.device_tasks.secrets import TaskSecrets
from farsite_edge.device_tasks.settings import Timing
from farsite_edge.devices import DeviceManager
from farsite_edge.devices.credentials import Account
from farsite_edge.tasks import Outcome, Work
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class LogIn:
    """Each device is asked with one account after the other; what worked on most devices comes first."""

    def __init__(self, manager: DeviceManager, secrets: TaskSecrets, timing: Timing) -> None:
        self._manager = manager
        self._secrets = secrets
        self._timing = timing
        self._worked: Counter[tuple[str, int]] = Counter()

    async def __call__(self, work: Work) -> Outcome:
        task = str(work.payload["secret"])
        accounts = await self._secrets.get(task)
        # Numbers of those the device refused, kept so that it is not asked again after a restart.
        refused: list[int] = list((work.memory or {}).get("refused", []))
        while left := self._left(task, len(accounts), refused):
            number = left[0]
            await work.checkpoint({"refused": refused}, "log_in", f"Tries {accounts[number].username}.")
            if not await self._try(work, accounts[number]):
                if work.cancelling.is_set():
                    return cancelled()
                refused.append(number)
                continue
            self._worked[task, number] += 1
            return done(f"Logged in as {accounts[number].username}.")
        names = ", ".join(dict.fromkeys(account.username for account in accounts))
        detail = f"The device refused all {len(accounts)} log-ins ({names}). None was tried twice."
        return Outcome.failed(FarsiteError(ErrorCode.DEVICE_CREDENTIALS, detail))

    def _left(self, task: str, count: int, refused: list[int]) -> list[int]:
        numbers = [number for number in range(count) if number not in refused]
        return sorted(numbers, key=lambda number: -self._worked[task, number])

    async def _try(self, work: Work, account: Account) -> bool:
        """Waits for its turn. False: refused, or cancelled while waiting."""
        waited = 0.0
        while not work.cancelling.is_set():
            try:
                await self._manager.log_in_once(work.device, account)
                return True
            except FarsiteError as error:
                if error.code is ErrorCode.DEVICE_CREDENTIALS:
                    return False
                if error.code is not ErrorCode.RATE_LIMITED or waited > self._timing.log_in:
                    raise
                wait = min(error.retry_after or 1.0, self._timing.log_in)
                waited += wait
                await pause(work, wait + 0.01)
        return False
