"""Storage, identity and settings of one data folder: what claiming needs, with or without a running edge host."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType

from farsite_edge.claim.claimer import Claimer
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.settings import EdgeSettings
from farsite_edge.store import Database, Facts, FolderLock, Vault
from farsite_edge.store.database import FILE as DATABASE_FILE


class EdgeCore:
    """`async with`; one at a time for a folder. Raises `FarsiteError` (`conflict`, `storage_failed`, `disk_full`)."""

    def __init__(self, settings: EdgeSettings) -> None:
        folder = settings.data_dir
        self.settings = settings
        self.database = Database(folder / DATABASE_FILE)
        self.facts = Facts(self.database)
        self.vault = Vault(self.database, folder)
        self.keeper = IdentityKeeper(folder, self.facts)
        self.preferences = Preferences(settings, self.facts, self.vault)
        self.claimer = Claimer(settings, self.facts, self.keeper, self.preferences)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> EdgeCore:
        async with AsyncExitStack() as stack:
            stack.enter_context(FolderLock(self.settings.data_dir))
            await stack.enter_async_context(self.database)
            await self.facts.load()
            self.vault.load()
            await self.keeper.load()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
