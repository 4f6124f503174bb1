"""Sends the journal to the cloud: one delta at a time, again until it is answered."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from farsite_edge.inventory.journal import Journal
from farsite_edge.supervise import wait_for_any
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.inventory import InventoryAccepted, InventoryDelta, InventoryWanted

ANSWER_TIMEOUT = 15.0
GATHERING = 0.5
"""Seconds between something happening and telling it: what happens meanwhile is told together."""
Answer = InventoryAccepted | InventoryWanted
logger = logging.getLogger(__name__)


class InventorySender:
    """`watch` gives an event that is set when a task moves; `look` is called every `interval` seconds, for what nobody
    tells of (files in a folder). While it is not `online`, changes wait in the journal."""

    def __init__(
        self,
        journal: Journal,
        send: Callable[[BaseModel], Awaitable[None]],
        *,
        interval: float,
        watch: Callable[[], asyncio.Event] = asyncio.Event,
        look: Callable[[], Awaitable[object]] | None = None,
        online: Callable[[], bool] = lambda: True,
        answer_timeout: float = ANSWER_TIMEOUT,
        gathering: float = GATHERING,
    ) -> None:
        self._journal = journal
        self._send = send
        self._interval = interval
        self._watch = watch
        self._look = look
        self._looked_at = -math.inf
        self._online = online
        self._answer_timeout = answer_timeout
        self._gathering = gathering
        self._due = asyncio.Event()
        self._greet = True
        self._answer: asyncio.Future[Answer] | None = None

    def due(self) -> None:
        """Something changed, or the cloud is reachable again."""
        self._due.set()

    def online(self) -> None:
        """Connected anew: asks whether the cloud is where this journal says, also when there is nothing to tell."""
        self._greet = True
        self._due.set()

    def answered(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def run(self) -> None:
        while True:
            self._due.clear()
            moved = self._watch()
            await self._send_all()
            await wait_for_any(self._due, moved, timeout=self._interval)
            await asyncio.sleep(self._gathering)

    async def _send_all(self) -> None:
        await self._look_about()
        if not self._online():
            return  # putting together what cannot be sent costs as much as sending it
        refused = 0
        try:
            while refused < 2 and (delta := await self._journal.next(always=self._greet)) is not None:
                taken = await self._deliver(delta)
                self._greet = self._greet and not taken
                refused = 0 if taken else refused + 1
        except (FarsiteError, TimeoutError) as error:
            logger.debug("inventory not delivered: %s", error)

    async def _look_about(self) -> None:
        now = time.monotonic()
        if self._look is None or now - self._looked_at < self._interval:
            return
        self._looked_at = now
        try:
            await self._look()
        except FarsiteError as error:
            logger.warning("inventory: %s", error)

    async def _deliver(self, delta: InventoryDelta) -> bool:
        """Whether the cloud took it."""
        await self._journal.sending(delta)
        answer = await self._ask(delta)
        if isinstance(answer, InventoryAccepted):
            await self._journal.accepted(answer.epoch, answer.position, complete=delta.complete)
            return True
        await self._journal.wanted(answer.epoch, answer.position)
        return False

    async def _ask(self, delta: InventoryDelta) -> Answer:
        self._answer = asyncio.get_running_loop().create_future()
        try:
            await self._send(delta)
            async with asyncio.timeout(self._answer_timeout):
                return await self._answer
        finally:
            self._answer = None
