"""Whether what happens can be kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from farsite_edge.store.failures import StorageProblem
from farsite_signaling.wire.edge_api import StorageState

logger = logging.getLogger(__name__)


class StorageHealth:
    """`seen` and `fine` are told by every write. Damage stays until the edge host starts anew: it is repaired then.
    `on_change` is called when the state turned."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.state = StorageState.OK
        self.detail = ""
        self.troubled = asyncio.Event()
        self.damaged = asyncio.Event()

    def seen(self, problem: StorageProblem) -> None:
        self._turn(problem.state, problem.detail)

    def fine(self) -> None:
        if self.state is not StorageState.OK:
            self._turn(StorageState.OK, "")

    def repaired(self) -> None:
        """A new database is in its place."""
        self.state, self.detail = StorageState.OK, ""
        self.troubled.clear()
        self.damaged.clear()

    def _turn(self, state: StorageState, detail: str) -> None:
        if self.state is StorageState.DAMAGED:
            return
        if state is not self.state:
            level = logging.INFO if state is StorageState.OK else logging.ERROR
            logger.log(level, "storage: %s -> %s %s", self.state, state, detail)
        turned = state is not self.state
        self.state, self.detail = state, detail
        if state is StorageState.DAMAGED:
            self.damaged.set()
        if state is StorageState.OK:
            self.troubled.clear()
        else:
            self.troubled.set()
        if turned:
            self.on_change()
