"""Finds out when storage that failed is usable again: nobody has to tell the edge host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from farsite_edge.store.database import Database
from farsite_edge.store.facts import Facts
from farsite_signaling.wire.edge_api import StorageState
from farsite_signaling.wire.errors import FarsiteError

EVERY = 2.0
_TRIAL = "storage_trial"
logger = logging.getLogger(__name__)


class StorageWatch:
    """`on_recovery` is called when writes work again."""

    def __init__(
        self,
        database: Database,
        facts: Facts,
        on_recovery: Callable[[], Awaitable[None]],
        *,
        every: float = EVERY,
    ) -> None:
        self._database = database
        self._facts = facts
        self._on_recovery = on_recovery
        self._every = every

    async def run(self) -> None:
        health = self._database.health
        while True:
            await health.troubled.wait()
            while health.state is not StorageState.OK:
                await asyncio.sleep(self._every)
                await self._try()
            await self._on_recovery()

    async def _try(self) -> None:
        try:
            # As large as what is written usually: a few bytes may fit where nothing else does.
            await self._facts.set({_TRIAL: "x" * 16384})
            await self._facts.set({_TRIAL: None})
        except FarsiteError as error:
            logger.debug("storage still fails: %s", error)
