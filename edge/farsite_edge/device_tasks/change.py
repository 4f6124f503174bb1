"""What changing the addresses of a device needs, of either family."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from farsite_edge.device_tasks.arriving import Occupied
from farsite_edge.device_tasks.settings import Timing
from farsite_edge.devices import DeviceManager
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.tasks import Outcome
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode

Search = Callable[[str], Awaitable[None]]
"""Looks for a device; where it seems to be is noted in the registry (`elsewhere`)."""


class AddressChange:
    def __init__(
        self,
        manager: DeviceManager,
        search: Search,
        occupied: Occupied,
        timing: Timing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._manager = manager
        self._search = search
        self._occupied = occupied
        self._timing = timing
        self._clock = clock

    def _record(self, device: str) -> DeviceRecord:
        return self._manager.registry.managed(device)


def failed(detail: str) -> Outcome:
    return Outcome(WorkState.FAILED, detail[:500], ErrorCode.DEVICE_ANSWER)
