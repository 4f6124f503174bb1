"""Work that the clock asks for: each duty looks every second, and at once when it is woken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from farsite_signaling.wire.errors import FarsiteError

logger = logging.getLogger(__name__)
LOOK_EVERY = 1.0
# What is being done when the cloud stops may end first: a unit of work that is cut off costs its connection.
STOP_WITHIN = 2.0
# One piece of work; False when nothing is due.
Duty = Callable[[], Awaitable[bool]]


class Sweeper:
    """Every process has one; rows are taken with a lease, so that each is worked on by one of them."""

    def __init__(self) -> None:
        self._wanted: dict[str, asyncio.Event] = {}
        self._stopping = False

    async def wake(self) -> None:
        """Something may have become due just now, in this process."""
        for event in self._wanted.values():
            event.set()

    @asynccontextmanager
    async def running(self, duties: Mapping[str, Duty]) -> AsyncIterator[None]:
        """Each in a task of its own: a long piece of work holds up no other duty."""
        self._wanted = {name: asyncio.Event() for name in duties}
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._keep(name, duty), name=f"sweep {name}")
                for name, duty in duties.items()
            ]
            try:
                yield
            finally:
                self._stopping = True
                await self.wake()
                try:
                    await asyncio.wait(tasks, timeout=STOP_WITHIN)
                finally:
                    for task in tasks:
                        task.cancel("the cloud stops")

    async def _keep(self, name: str, duty: Duty) -> None:
        while not self._stopping:
            try:
                while await duty() and not self._stopping:
                    pass
            except FarsiteError as error:
                logger.error("%s waits: %s", name, error)
            except Exception:
                # A mistake in one piece of work must not end the others, nor this one for good.
                logger.exception("%s failed; it is tried again", name)
            await self._rest(self._wanted[name])

    async def _rest(self, wanted: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await wanted.wait()
        except TimeoutError:
            pass
        wanted.clear()
