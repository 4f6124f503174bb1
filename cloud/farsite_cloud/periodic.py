"""Work that is done again and again for as long as the cloud runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

from farsite_signaling.wire.errors import FarsiteError

logger = logging.getLogger(__name__)


class Periodic:
    """`async with` starts it: at once, then `every` seconds after it was done. What fails is done again next time."""

    def __init__(self, name: str, every: float, work: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._every = every
        self._work = work
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._task = group.create_task(self._run(), name=self._name)
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._task is not None:
            self._task.cancel(f"{self._name} closed")
        await self._stack.aclose()

    async def _run(self) -> None:
        while True:
            try:
                await self._work()
            except FarsiteError as error:
                logger.error("%s: %s", self._name, error)
            except Exception:
                logger.exception("%s failed; it is tried again", self._name)
            await asyncio.sleep(self._every)
