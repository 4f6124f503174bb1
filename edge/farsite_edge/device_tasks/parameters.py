"""The same parameters for many devices."""

from __future__ import annotations

from farsite_edge.device_tasks.holding import done
from farsite_edge.devices import DeviceManager
from farsite_edge.tasks import Outcome, Work


class SetParameters:
    """Doing it again after a crash does no harm."""

    def __init__(self, manager: DeviceManager) -> None:
        self._manager = manager

    async def __call__(self, work: Work) -> Outcome:
        values = {str(name): str(value) for name, value in work.payload["values"].items()}
        await work.checkpoint({}, "set", f"Sets {len(values)} parameters.")
        now = await self._manager.change_parameters(work.device, values)
        return done(f"{len(now)} parameters are set and read back.")
