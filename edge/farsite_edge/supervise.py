"""Loops that outlive their own failures."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from farsite_signaling.wire.errors import FarsiteError

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
logger = logging.getLogger(__name__)


async def supervised(name: str, run: Callable[[], Awaitable[None]], *, pause: float = FIRST_PAUSE) -> None:
    """Run for ever: what fails is logged and started again, later each time."""
    failures = 0
    while True:
        try:
            await run()
            failures = 0
        except FarsiteError as error:
            failures += 1
            logger.warning("%s: %s", name, error)
        except Exception:
            failures += 1
            logger.exception("%s failed and starts again", name)
        delay = min(LONGEST_PAUSE, pause * 2 ** min(failures, 10))
        await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311  # jitter


async def wait_for_any(*events: asyncio.Event, timeout: float | None = None) -> None:
    """Until one of the events is set, or the time is over."""
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(event.wait(), name="wait-for-any") for event in events]
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
