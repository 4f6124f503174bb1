"""Work in several parts, each with a memory of its own, one after the other."""

from __future__ import annotations

from typing import Any, Protocol

from farsite_edge.tasks import Work

DONE = "done"


class Part(Protocol):
    """What a change of one device sees of its work; `Work` itself is one."""

    @property
    def device(self) -> str: ...
    @property
    def payload(self) -> dict[str, Any]: ...
    @property
    def memory(self) -> dict[str, Any] | None: ...
    async def checkpoint(self, memory: dict[str, Any], step: str, detail: str = "") -> None: ...


class WorkPart:
    """Keeps its memory under its name in that of the whole work."""

    def __init__(self, work: Work, name: str) -> None:
        self._work = work
        self.name = name

    @property
    def device(self) -> str:
        return self._work.device

    @property
    def payload(self) -> dict[str, Any]:
        return self._work.payload

    @property
    def memory(self) -> dict[str, Any] | None:
        return (self._work.memory or {}).get(self.name)

    @property
    def done(self) -> str | None:
        """What was said at its end."""
        memory = self.memory
        return str(memory[DONE]) if memory is not None and DONE in memory else None

    async def checkpoint(self, memory: dict[str, Any], step: str, detail: str = "") -> None:
        await self._work.checkpoint((self._work.memory or {}) | {self.name: memory}, step, detail)

    async def finish(self, said: str) -> None:
        """It is not done again after a crash."""
        await self.checkpoint({DONE: said}, f"{self.name}_done", said)
