"""An edge host's listener with real processes, a client, and a signaling connection that is only memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.remote.acceptor import EdgeAcceptor
from farsite_edge.remote.judge import StreamJudge
from farsite_edge.workers.listener import WorkerListener
from farsite_edge.workers.session import WorkerLimits, WorkerSession
from farsite_signaling.peer.dialer import open_tunnel
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from tests.signaling.peer.conftest import Echo, Organization, Wire

DEVICE = "ACCC8E000001"
OPTIONS = PeerOptions(addresses=("127.0.0.1",), open_timeout=20.0, resume_timeout=20.0)
Closed = tuple[WorkerSession, FarsiteError | None]


@dataclass
class Devices:
    """Registry, looks and audit log of the judge, in memory."""

    records: dict[str, DeviceRecord] = field(default_factory=dict)
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    def managed(self, device: str) -> DeviceRecord:
        if device not in self.records:
            raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, f"There is no device {device}.")
        return self.records[device]

    async def check(self, device: str, *, refresh: bool) -> None:
        self.checked.append(device)

    async def note(self, action: str, **values: Any) -> None:
        self.rows.append((action, values))


class Site:
    """`dial` opens a tunnel; `closed` tells of each that ended and why, `refused` of offers that were."""

    def __init__(self, organization: Organization, limits: WorkerLimits, **options: Any) -> None:
        self.organization = organization
        self.wire = Wire()
        self.devices = Devices()
        self.closed: asyncio.Queue[Closed] = asyncio.Queue()
        self.refused: list[FarsiteError] = []
        self.denial: FarsiteError | None = None
        self._number = 0
        devices: Any = self.devices
        judge = StreamJudge(devices, devices, AddressRule(allow_own=True), devices)
        self.acceptor = EdgeAcceptor(judge, Echo, timeout=5.0)
        self.options = replace(OPTIONS, **options)
        self.listener = WorkerListener(
            identity=organization.edge,
            trust=organization.trust,
            grant_key=organization.grant_key.public_key(),
            acceptor=self.acceptor,
            admit=self._admit,
            options=self.options,
            router=self.wire.edge,
            limits=limits,
            on_closed=lambda session, error: self.closed.put_nowait((session, error)),
            on_refused=lambda error, sender, session: self.refused.append(error),
        )

    def _admit(self, grant: Grant) -> None:
        if self.denial is not None:
            raise self.denial

    async def dial(self, session: str | None = None, **claims: Any) -> Tunnel:
        """Not entered yet."""
        self._number += 1
        name = session or f"s{self._number}"
        return await open_tunnel(
            self.organization.ticket(name, self.organization.grant(name, **claims)),
            identity=self.organization.client,
            trust=self.organization.trust,
            router=self.wire.client,
            options=OPTIONS,
        )

    async def other_end(self, tunnel: Tunnel) -> WorkerSession:
        """Main's. It may stand a moment later than the client's."""
        await until(lambda: tunnel.session in self.listener.sessions)
        return next(one for one in self.listener.tunnels if one.session == tunnel.session)

    async def pid(self, tunnel: Tunnel) -> int:
        """Of the process that has the other end."""
        process = (await self.other_end(tunnel)).process
        await until(lambda: process.pid is not None)
        assert process.pid is not None
        return process.pid

    async def end_of(self, session: str, seconds: float = 15) -> FarsiteError | None:
        async with asyncio.timeout(seconds):
            while True:
                ended, error = await self.closed.get()
                if ended.session == session:
                    return error

    @asynccontextmanager
    async def device(self, serve: Callable[..., Any]) -> AsyncIterator[None]:
        """A managed device whose web server is `serve`."""
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.devices.records[DEVICE] = DeviceRecord(id=DEVICE, address="127.0.0.1", http_port=port)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()


@asynccontextmanager
async def site(
    organization: Organization | None = None, *, limits: WorkerLimits | None = None, **options: Any
) -> AsyncIterator[Site]:
    made = Site(organization or Organization(), limits or WorkerLimits(), **options)
    async with made.listener:
        made.listener.prepare()
        await until(lambda: bool(made.listener.pool.workers), 40)  # it imports much, once
        yield made


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Runs, or is at least not buried; a zombie is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """All that descend from a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
