"""Two namespaces with a WAN link between them.

    async with WanLink(LINKS["W2"]) as link:
        process = await asyncio.create_subprocess_exec(*link.left.command("ping", "-c3", link.right_address))
        async with link.outage():
            ...

`bridge.c` carries the packets: a process of its own that the system's compiler makes when it is first needed. Root.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from farsite_client.lab.namespaces import Namespace, make, missing, prefix, remove, run, sweep, which
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.lab.wan.conditions import MTU, Conditions

SOURCES = [str(Path(__file__).with_name(name)) for name in ("bridge.c", "way.c")]
COMPILER = ("cc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")
INTERFACE = "wan"
ANSWER_SECONDS = 10.0
KERNEL_QUEUE = 4000
"""Packets between the kernel and the bridge: never full while the bridge keeps up."""
_LINKS = itertools.count(1)


def why_not() -> str | None:
    """What is missing to make a link; `None` when nothing is."""
    if reason := missing():
        return reason
    if which("cc") is None:
        return "install gcc libc6-dev"
    return None if Path("/dev/net/tun").exists() else "there is no /dev/net/tun"


class WanLink:
    """Up while entered. `seed` fixes all chance: the same packets meet the same fate."""

    left_address = "10.201.0.1"
    right_address = "10.201.0.2"

    def __init__(self, conditions: Conditions, *, seed: int = 1) -> None:
        self._conditions = conditions
        self._seed = seed
        number = next(_LINKS)
        self.left = Namespace(f"{prefix()}-wan{number}-left")
        self.right = Namespace(f"{prefix()}-wan{number}-right")
        self._asking = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Self:
        if reason := why_not():
            raise FarsiteError(ErrorCode.UNAVAILABLE, f"No link can be made: {reason}.")
        await sweep()
        try:
            await self._build()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _build(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="farsite-wan-")
        program = str(Path(self._folder.name) / "bridge")
        await run(*COMPILER, "-o", program, *SOURCES)
        for namespace in (self.left, self.right):
            await make(namespace.name)
        await self._start(program)
        await self.change(self._conditions)
        await _configure(self.left, self.left_address)
        await _configure(self.right, self.right_address)

    async def _start(self, program: str) -> None:
        sides = [f"/run/netns/{namespace.name}" for namespace in (self.left, self.right)]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            program, *sides, INTERFACE, str(self._seed), stdin=pipe, stdout=pipe
        )
        if await self._answer() != "ready":
            raise FarsiteError(ErrorCode.UNAVAILABLE, "The bridge did not start; see what it wrote.")

    async def _close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # it ends with its input
            await self._process.wait()
        for namespace in (self.left, self.right):
            await remove(namespace)
        if self._folder is not None:
            self._folder.cleanup()

    async def _answer(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_SECONDS)
        return line.decode().strip()

    async def _ask(self, order: str) -> str:
        assert self._process is not None and self._process.stdin is not None
        async with self._asking:
            self._process.stdin.write(f"{order}\n".encode())
            return await self._answer()

    async def _order(self, order: str) -> None:
        if (answer := await self._ask(order)) != "ok":
            raise FarsiteError(ErrorCode.INTERNAL, f"the bridge on {order!r}: {answer or 'it ended'}")

    async def change(self, conditions: Conditions) -> None:
        """From the next packet on; what is on its way keeps its time."""
        for number, direction in enumerate((conditions.up, conditions.down)):
            await self._order(f"set {number} {direction.orders()}")
        self._conditions = conditions

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Both ways: what is offered and what would arrive meanwhile is gone."""
        await self._order("outage 1")
        try:
            yield
        finally:
            await self._order("outage 0")

    async def stats(self) -> dict[str, Any]:
        """`cpu` (s) of the bridge and, for up and down, `directions` with counters since the start.

        `late` counts packets delivered over 2 ms after their time: if it is not tiny, the machine was too busy.
        `worst_late_ms` and `worst_queue` (bytes) are since the last question.
        """
        answer: dict[str, Any] = json.loads(await self._ask("stats"))
        return answer


async def _configure(namespace: Namespace, address: str) -> None:
    commands = [
        f"addr add {address}/24 dev {INTERFACE}",
        f"link set {INTERFACE} mtu {MTU} txqueuelen {KERNEL_QUEUE} up",
    ]
    await run("ip", "-n", namespace.name, "-batch", "-", text="\n".join(commands) + "\n")


async def use_congestion_control(namespace: Namespace, name: str) -> None:
    """For TCP connections on the link. Namespaces refuse the sysctl; routes carry it."""
    route = ["10.201.0.0/24", "dev", INTERFACE, "proto", "kernel", "scope", "link"]
    await run("ip", "-n", namespace.name, "route", "change", *route, "congctl", name)
