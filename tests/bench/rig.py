"""Both ends of a tunnel in two processes: this one dials, a child listens; signaling is the child's pipes."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from farsite_signaling.identity import OrganizationTrust
from farsite_signaling.peer.dialer import open_tunnel
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable, dump, parse_hub_message
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.stream import ApiTarget
from tests.bench.organization import Organization

OPTIONS = PeerOptions(addresses=("127.0.0.1",))
LINE_LIMIT = 256 * 1024


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Child:
    """`python -m MODULE ARGUMENTS`, or another `program`; lines in, lines out."""

    def __init__(
        self, module: str = "", *arguments: str, program: list[str] | None = None, limit: int = LINE_LIMIT
    ) -> None:
        self._limit = limit
        self._command = program or [sys.executable, "-m", module, *arguments]

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, limit=self._limit
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def receive(self) -> str:
        """Raises `EOFError` when the child has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError("the child ended")
        return line.decode().rstrip("\n")


class Rig:
    """`dial` opens tunnels to the child. `portable`: neither end has segmentation offload; `workers`: the child has a
    process for each session."""

    def __init__(self, *, portable: bool = False, workers: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="farsite-bench-")
        folder = Path(self._folder.name)
        self._organization = Organization(folder)
        self._trust = OrganizationTrust(self._organization.trust_pem)
        flags = [name for name, wanted in (("portable", portable), ("workers", workers)) if wanted]
        self._child = Child("tests.bench.edge_process", str(folder), *flags)
        self._portable = portable
        self._router = EnvelopeRouter(self._send)
        self._number = 0

    async def __aenter__(self) -> Self:
        await self._child.__aenter__()
        assert await self._child.receive() == "ready"
        self._group = await asyncio.TaskGroup().__aenter__()
        self._pump = self._group.create_task(self._receive(), name="rig:signaling")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pump.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            await self._child.__aexit__(kind, error, trace)
            self._folder.cleanup()

    async def _send(self, message: EnvelopeMessage) -> None:
        await self._child.send(dump(message))

    async def _receive(self) -> None:
        while True:
            message = parse_hub_message(await self._child.receive())
            if isinstance(message, EnvelopeMessage | Undeliverable):
                self._router.receive(message)

    async def dial(self, servers: list[IceServer] | None = None, *, relay_only: bool = False) -> Tunnel:
        self._number += 1
        if self._portable:
            without_offload()
        return await open_tunnel(
            self._organization.ticket(f"s{self._number}", servers),
            identity=self._organization.client,
            trust=self._trust,
            router=self._router,
            options=replace(OPTIONS, relay_only=relay_only),
        )


def without_offload() -> None:
    """From now on this process sends and receives each datagram by itself, as it does where there is no offload."""
    from farsite_signaling.peer import datagrams

    datagrams.OFFLOAD = False


def with_offload() -> None:
    from farsite_signaling.peer import datagrams

    datagrams.OFFLOAD = sys.platform == "linux"


async def child_cpu(tunnel: Tunnel) -> float:
    """CPU seconds the child has used so far."""
    reader, writer = await tunnel.open_stream(ApiTarget())
    writer.write(b"CPU 0\n")
    seconds = float(await reader.readline())
    writer.close()
    return seconds
