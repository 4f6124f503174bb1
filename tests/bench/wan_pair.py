"""Both ends of a flow over an emulated link, and transfers between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

from farsite_client.lab.namespaces import Namespace
from tests.bench.organization import Organization
from tests.bench.timeline import Timeline
from tests.bench.wan_ssh import ssh_forward
from tests.lab.wan.link import INTERFACE, WanLink

Way = Literal["up", "down"]
TCP_PORT = 9100
FORWARD_PORT = 9200
LINE_LIMIT = 4 * 1024 * 1024
OPEN_SECONDS = 40.0
STOP_SECONDS = 10.0


class End:
    """A `wan_end` process in a namespace."""

    def __init__(self, namespace: Namespace, carrier: str, role: str, arguments: dict[str, Any]) -> None:
        module = ["-m", "tests.bench.wan_end", carrier, role, json.dumps(arguments)]
        self._command = namespace.command(sys.executable, *module)
        self._results: dict[str, asyncio.Queue[Any]] = {}
        self.other: End | None = None

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, limit=LINE_LIMIT
        )
        self._group = await asyncio.TaskGroup().__aenter__()
        self._reading = self._group.create_task(self._read(), name="end")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
        await self._group.__aexit__(None, None, None)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if "signal" in message:
                assert self.other is not None
                self.other.tell(message)
            else:
                self._queue(message["did"]).put_nowait(message["result"])
        for queue in self._results.values():
            queue.put_nowait(EOFError("the end's process ended"))

    def _queue(self, what: str) -> asyncio.Queue[Any]:
        return self._results.setdefault(what, asyncio.Queue())

    def tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def result(self, what: str) -> Any:
        """Raises `EOFError` when the process ended instead."""
        result = await self._queue(what).get()
        if isinstance(result, EOFError):
            raise result
        return result

    async def ask(self, what: str, **arguments: Any) -> Any:
        self.tell({"do": what} | arguments)
        return await self.result(what)


@dataclass(frozen=True)
class Transfer:
    """`cpu`: seconds of the dialing and the accepting end. `wall_offset`: wall clock minus monotonic."""

    timeline: Timeline
    cpu: tuple[float, float]
    wall_offset: float

    @property
    def cpu_per_gib(self) -> float:
        return sum(self.cpu) * 1024**3 / max(self.timeline.total, 1)

    @property
    def core_share(self) -> float:
        """Of the busier end."""
        return max(self.cpu) / (self.timeline.end - self.timeline.begin)


class Pair:
    """The accepting end is the left one, the site; `up` runs from there."""

    def __init__(self, dial: End, accept: End) -> None:
        self._dial = dial
        self._accept = accept

    async def transfer(self, way: Way, size: int, seconds: float) -> Transfer:
        """`size` bytes, or what comes within `seconds`."""
        sender, receiver = (self._accept, self._dial) if way == "up" else (self._dial, self._accept)
        before = await self._cpu()
        limits = {"bytes": size, "seconds": seconds}
        begin = time.monotonic()
        receiver.tell({"do": "receive"} | limits)
        sender.tell({"do": "send"} | limits)
        samples = [(at, total) for at, total in await receiver.result("receive")]
        after = await self._cpu()
        cpu = (after[0] - before[0], after[1] - before[1])
        return Transfer(Timeline(begin, samples), cpu, time.time() - time.monotonic())

    async def trips(self, size: int, seconds: float) -> list[tuple[float, float]]:
        """Requests from the dialing end, beside whatever is under way: see `wan_flow.trips`."""
        return [(at, ms) for at, ms in await self._dial.ask("trips", bytes=size, seconds=seconds)]

    async def _cpu(self) -> tuple[float, float]:
        return await self._dial.ask("cpu"), await self._accept.ask("cpu")


@asynccontextmanager
async def connected(link: WanLink, who: str) -> AsyncIterator[Pair]:
    """A fresh connection of `farsite`, `aiortc`, `ssh` or plain `tcp`.

    Or of `link`, ours without a tunnel; `mixed`: ours on the left, a stock peer on the right; `chromium`: the same
    with a browser.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="farsite-bench-")))
        carrier, dialing, accepting = await _arguments(link, who, folder)
        accept = await stack.enter_async_context(End(link.left, carrier, "accept", accepting))
        await accept.result("start")
        if who == "ssh":
            await stack.enter_async_context(ssh_forward(link, folder, FORWARD_PORT, TCP_PORT))
        dial = End(link.right, carrier, "dial", dialing)
        accept.other, dial.other = dial, accept
        await stack.enter_async_context(dial)
        async with asyncio.timeout(OPEN_SECONDS):
            await dial.ask("flow")
            await accept.ask("flow")
        yield Pair(dial, accept)


async def _arguments(link: WanLink, who: str, folder: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Carrier, and what its dialing and accepting ends are told."""
    if who == "farsite":
        ticket = Organization(folder).ticket("s1").model_dump(mode="json")
        common = {"folder": str(folder)}
        dialing = common | {"address": link.right_address, "ticket": ticket}
        return "farsite", dialing, common | {"address": link.left_address}
    if who == "aiortc":
        return "aiortc", {}, {}
    if who == "mixed":
        return "mixed", {}, {"address": link.left_address}
    if who == "chromium":
        # It asks for the way to the internet to learn its own address.
        await link.right.run("ip", "route", "replace", "default", "dev", INTERFACE)
        return "chromium", {}, {"address": link.left_address}
    if who == "link":
        return "link", {"address": link.right_address}, {"address": link.left_address}
    if who == "ssh":
        local = {"address": "127.0.0.1"}
        return "tcp", local | {"port": FORWARD_PORT}, local | {"port": TCP_PORT}
    there = {"address": link.left_address, "port": TCP_PORT}
    return "tcp", there, there
