"""One act on many devices, some at a time; what one does never touches the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.edge_api import DeviceResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PARALLEL = 16
Act = Callable[[str], Awaitable[DeviceRecord]]
logger = logging.getLogger(__name__)


async def each(ids: Iterable[str], act: Act) -> list[DeviceResult]:
    """A result for each, in their order."""
    limit = asyncio.Semaphore(PARALLEL)

    async def one(device: str) -> DeviceResult:
        async with limit:
            return await _result(device, act)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(device), name=f"device-{device}") for device in dict.fromkeys(ids)]
    return [task.result() for task in tasks]


async def _result(device: str, act: Act) -> DeviceResult:
    try:
        record = await act(device)
    except FarsiteError as error:
        return DeviceResult(id=device, ok=False, code=error.code, detail=error.detail)
    except Exception:
        logger.exception("device %s", device)
        detail = "Something went wrong here; see the edge host's log."
        return DeviceResult(id=device, ok=False, code=ErrorCode.INTERNAL, detail=detail)
    return DeviceResult(id=device, ok=True, state=record.state)
