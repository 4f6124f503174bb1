"""Round trips over a link, measured beside whatever else it carries."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from farsite_client.lab.namespaces import Namespace, which

_REPLY = re.compile(rb"\[(\d+\.\d+)\].* icmp_seq=(\d+) .*time=([\d.]+) ms")


@dataclass
class Pings:
    """`replies`: (wall-clock time of the answer, s; round trip, ms). `sequence`: in order of arrival."""

    replies: list[tuple[float, float]] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    duplicates: int = 0

    def add(self, line: bytes) -> None:
        match = _REPLY.search(line)
        if match is None:
            return
        if b"DUP!" in line:
            self.duplicates += 1
            return
        self.replies.append((float(match[1]), float(match[3])))
        self.sequence.append(int(match[2]))

    def between(self, begin: float, end: float) -> list[float]:
        """Round trips (ms) of answers in this span of wall-clock time."""
        return [trip for at, trip in self.replies if begin <= at <= end]

    @property
    def trips(self) -> list[float]:
        return [trip for _, trip in self.replies]


@asynccontextmanager
async def pinging(namespace: Namespace, address: str, interval: float = 0.02) -> AsyncIterator[Pings]:
    """Pings until left, then waits for nobody."""
    command = namespace.command(which("ping") or "ping", "-n", "-D", "-i", str(interval), address)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    pings = Pings()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(process, pings), name="pings")
        try:
            yield pings
        finally:
            process.terminate()
            await process.wait()
            await reading


async def _read(process: asyncio.subprocess.Process, pings: Pings) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        pings.add(line)


async def ping(namespace: Namespace, address: str, count: int, interval: float = 0.01) -> Pings:
    """`count` pings; returns when the last was answered or given up."""
    command = ["ping", "-n", "-D", "-i", str(interval), "-W", "2", "-c", str(count), address]
    process = await asyncio.create_subprocess_exec(
        *namespace.command(*command), stdout=asyncio.subprocess.PIPE
    )
    pings = Pings()
    await _read(process, pings)
    await process.wait()
    return pings
