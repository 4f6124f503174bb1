"""Storage, identity and settings of one data folder: what claiming needs, with or without a running edge host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

from farsite_edge.claim.claimer import Claimer
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.settings import EdgeSettings
from farsite_edge.store import Database, Facts, FolderLock, Vault
from farsite_edge.store.copies import drop_half
from farsite_edge.store.database import FILE as DATABASE_FILE
from farsite_edge.store.failures import StorageProblem
from farsite_edge.store.repair import Repair, repair, unfinished
from farsite_signaling.wire.edge_api import StorageState

logger = logging.getLogger(__name__)


class EdgeCore:
    """`async with`; one at a time for a folder. `suspect`: its database is checked in all parts, not in the quick ones.
    Raises `FarsiteError` (`conflict`, `storage_failed`, `disk_full`)."""

    def __init__(self, settings: EdgeSettings, *, suspect: bool = False) -> None:
        folder = settings.data_dir
        self.settings = settings
        self.database = Database(folder / DATABASE_FILE, suspect=suspect)
        self.facts = Facts(self.database)
        self.vault = Vault(self.database, folder)
        self.keeper = IdentityKeeper(folder, self.facts)
        self.preferences = Preferences(settings, self.facts, self.vault)
        self.claimer = Claimer(settings, self.facts, self.keeper, self.preferences)
        self.repaired: Repair | None = None  # what was done about a damaged database at this start
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> EdgeCore:
        async with AsyncExitStack() as stack:
            stack.enter_context(FolderLock(self.settings.data_dir))
            await stack.enter_async_context(self._sound_database())
            await self.facts.load()
            self.vault.load()
            await self.keeper.load()
            self._stack = stack.pop_all()
        return self

    @asynccontextmanager
    async def _sound_database(self) -> AsyncIterator[None]:
        """Under the folder's lock: nobody else has it open."""
        path = self.database.path
        drop_half(path)
        if unfinished(path):
            self.repaired = await asyncio.to_thread(repair, path)
        try:
            await self.database.__aenter__()
        except StorageProblem as problem:
            if problem.state is not StorageState.DAMAGED:
                raise
            logger.error("%s", problem.detail)
            self.repaired = await asyncio.to_thread(repair, path)
            self.database.health.repaired()
            await self.database.__aenter__()
        try:
            yield
        finally:
            await self.database.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
