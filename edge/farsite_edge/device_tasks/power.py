"""Restart and factory default: told once, then waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from farsite_edge.device_tasks.holding import done
from farsite_edge.device_tasks.restarts import RestartWatch
from farsite_edge.device_tasks.settings import Timing
from farsite_edge.devices import DeviceManager
from farsite_edge.tasks import Outcome, Work
from farsite_edge.tasks.steady import steady
from farsite_edge.vapix import Refused, SystemReady
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)


class Restart:
    """A device that was told is not told again after a crash: what counts is whether it has restarted since."""

    step = "restart"

    def __init__(self, manager: DeviceManager, timing: Timing, clock: Callable[[], float] = steady) -> None:
        self._manager = manager
        self._timing = timing
        self._clock = clock

    async def __call__(self, work: Work) -> Outcome:
        await self._manager.updating(work.device)
        memory = dict(work.memory or {})
        if "until" not in memory:
            ready = await self._ready(work.device)
            memory = {
                "boot_id": ready.boot_id,
                "uptime": ready.uptime,
                "until": self._clock() + self._timing.restart,
            }
            await work.checkpoint(memory, self.step, self._telling(work))
            await self._tell(work)
        return await self._wait(work, memory)

    def _telling(self, work: Work) -> str:
        return "Tells it to restart."

    async def _tell(self, work: Work) -> None:
        """An answer that is lost with the connection is none that is missed."""
        async with self._manager.held_client(work.device) as client:
            try:
                await self._manager.contact.bounded(self._ask(work, client))
            except FarsiteError as error:
                if error.code is not ErrorCode.DEVICE_UNREACHABLE or isinstance(error, Refused):
                    raise
                logger.info("device %s: %s", work.device, error)

    async def _ask(self, work: Work, client: Any) -> None:
        await client.restart()

    async def _wait(self, work: Work, memory: dict[str, Any]) -> Outcome:
        resumed = work.memory is not None and bool(memory.get("waiting"))
        watch = RestartWatch(memory.get("boot_id"), memory.get("uptime"), was_silent=resumed)
        await work.checkpoint(memory | {"waiting": True}, "wait", "Waits until it is back.")
        while self._clock() < memory["until"]:
            # Cancelled or not: the device restarts, and its silence would be taken for a failure.
            ready = await self._heard(work.device)
            if ready is None:
                watch.silent()
            elif watch.is_back(ready):
                return await self._back(work, ready)
            await asyncio.sleep(self._timing.poll)
        detail = f"The device did not come back within {self._timing.restart:.0f} s. Look at it on site."
        return Outcome(WorkState.FAILED, detail, ErrorCode.DEVICE_UNREACHABLE)

    async def _back(self, work: Work, ready: SystemReady) -> Outcome:
        return done("It is back.")

    async def _heard(self, device: str) -> SystemReady | None:
        try:
            return await self._ready(device)
        except FarsiteError as error:
            if error.code in (ErrorCode.DEVICE_UNREACHABLE, ErrorCode.DEVICE_ANSWER):
                return None
            raise

    async def _ready(self, device: str) -> SystemReady:
        async with self._manager.held_client(device, anonymous=True, pinned=self._pinned) as client:
            ready: SystemReady = await self._manager.contact.bounded(client.system_ready())
            if not ready.told:
                await self._manager.contact.bounded(_is_up(client))
            return ready

    _pinned = True


async def _is_up(client: Any) -> None:
    """Old firmware: it asks for an account once it has started. Raises `device_unreachable` before."""
    try:
        await client.rights()
    except FarsiteError as error:
        if error.code is not ErrorCode.DEVICE_CREDENTIALS:
            raise


class FactoryDefault(Restart):
    """Afterwards the device has no account, and a new certificate if it makes its own."""

    step = "factory_default"
    _pinned = False

    def _telling(self, work: Work) -> str:
        return f"Tells it to forget its settings ({work.payload['mode']})."

    async def _ask(self, work: Work, client: Any) -> None:
        await client.factory_default(hard=work.payload["mode"] == "hard")

    async def _tell(self, work: Work) -> None:
        # Only the device that was remembered is told: the certificate counts here.
        await super()._tell(work)
        await self._manager.registry.update(work.device, pin=None, shown_pin=None, log_in=False)
        await self._manager.credentials.forget(work.device)

    async def _back(self, work: Work, ready: SystemReady) -> Outcome:
        await self._manager.credentials.forget(work.device)
        state = DeviceState.SETUP_REQUIRED
        values = {"service_account": False, "password_changed_at": None, "log_in": False, "pin": None}
        await self._manager.registry.update(work.device, state=state, setup_required=True, **values)
        return done("It is as it came from the factory: set its first account.")
