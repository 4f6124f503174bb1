"""libdatachannel (npm's node-datachannel) with itself: two Node processes on loopback."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Self

from tests.bench.rig import Child

MODULES = Path("build/node/node_modules").absolute()
SCRIPT = Path(__file__).with_name("libdatachannel_process.cjs")


class Library:
    """`transfer` sends from the caller."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None:
            raise RuntimeError("node is missing: make packages")
        os.environ.setdefault("NODE_PATH", str(MODULES))
        self._ends = [Child(program=[node, str(SCRIPT), role]) for role in ("caller", "callee")]

    async def __aenter__(self) -> Self:
        caller, callee = self._ends
        for end in self._ends:
            await end.__aenter__()
        await self._tell(callee, sdp=(await self._hear(caller))["sdp"])
        await self._tell(caller, sdp=(await self._hear(callee))["sdp"])
        assert "open" in await self._hear(caller)
        return self

    async def __aexit__(self, *error: Any) -> None:
        for end in self._ends:
            await end.__aexit__(*error)

    async def transfer(self, size: int) -> None:
        caller, callee = self._ends
        await self._tell(callee, expect=size)
        await self._tell(caller, send=size)
        while "received" not in await self._hear(callee):
            pass

    async def cpu(self) -> float:
        """Of both ends, seconds."""
        used = 0.0
        for end in self._ends:
            await self._tell(end, cpu=1)
            while "cpu" not in (answer := await self._hear(end)):
                pass
            used += answer["cpu"]
        return used

    async def _tell(self, end: Child, **order: Any) -> None:
        await end.send(json.dumps(order))

    async def _hear(self, end: Child) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await end.receive())
        return answer
