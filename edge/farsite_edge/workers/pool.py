"""Main's side of the zygote: workers for those who need one, the next one always ready."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from farsite_edge.workers.control import ControlSocket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

READY_TIMEOUT = 30.0
STOP_TIMEOUT = 3.0
PAUSE = 1.0
"""Before another zygote is started after one that ended, seconds."""
UNKNOWN = -1
PRIVATE = "FARSITE_"
logger = logging.getLogger(__name__)


def supported() -> bool:
    """Whether workers can be forked here: not on Windows, and not safely on macOS."""
    return sys.platform == "linux" or (hasattr(os, "fork") and "bsd" in sys.platform)


class WorkerProcess:
    """`own`: main's end of its control socket. `ended`: its wait status, or `UNKNOWN`."""

    def __init__(self, number: int, own: socket.socket, pool: WorkerPool) -> None:
        self.number = number
        self.own = own
        self.pid: int | None = None
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pool = pool

    def kill(self) -> None:
        """Idempotent."""
        self._pool.kill(self)


class WorkerPool:
    """`async with`. Starts nothing before `prepare` or `take`. `folder`: the one place where workers may write."""

    def __init__(self, *, folder: Path | None = None) -> None:
        self._folder = folder
        self._log_level = logging.getLevelName(logging.getLogger().getEffectiveLevel())
        self._group = asyncio.TaskGroup()
        self._keeping: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._control: ControlSocket | None = None
        self._workers: dict[int, WorkerProcess] = {}
        self._spare: WorkerProcess | None = None
        self._number = 0
        self.zygote: int | None = None
        """Its process id."""

    @property
    def workers(self) -> list[WorkerProcess]:
        """All that live, the spare one included."""
        return list(self._workers.values())

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._keeping = self._group.create_task(self._keep(), name="tunnel processes")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keeping is not None
        self._keeping.cancel()
        await self._group.__aexit__(None, None, None)

    def prepare(self) -> None:
        """Somebody may come."""
        self._wanted.set()

    async def take(self) -> WorkerProcess:
        """A worker that is the caller's to kill. Raises `unavailable`."""
        self._wanted.set()
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await self._ready.wait()
        except TimeoutError:
            raise _not_started() from None
        worker, self._spare = self._spare, None
        return worker or self._fork()

    def refill(self) -> None:
        """After the one that was taken has done what was urgent."""
        if self._spare is None and self._ready.is_set():
            self._spare = self._fork()

    def kill(self, worker: WorkerProcess) -> None:
        if worker.number in self._workers and self._control is not None:
            self._tell({"kill": worker.number})

    # The zygote

    async def _keep(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._one_life()
            except OSError as error:
                logger.error("tunnel processes cannot be started: %s", error)
            logger.warning("the process that starts tunnel processes ended; another one is started")
            await asyncio.sleep(PAUSE)

    async def _one_life(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = [
                str(theirs.fileno()),
                self._log_level,
                *([str(self._folder)] if self._folder else []),
            ]
            process = await asyncio.create_subprocess_exec(
                # Nothing is imported from the current folder, whoever chose that.
                *(sys.executable, "-P", "-m", "farsite_edge.workers.zygote", *arguments),
                pass_fds=[theirs.fileno()],
                env=_environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
            )
        self.zygote = process.pid
        self._lost.clear()
        self._control = ControlSocket(ours, self._said, self._gone, longest=1024)
        self._control.start()
        try:
            await self._lost.wait()
        finally:
            self._forget()
            await _ended(process)

    def _forget(self) -> None:
        """What the zygote forked ends with it."""
        self._ready.clear()
        self.zygote = None
        if self._control is not None:
            self._control.close()
        for worker in self.workers:
            self._worker_ended(worker.number, UNKNOWN)

    def _gone(self, error: FarsiteError | None) -> None:
        if error is not None:
            logger.error("%s", error)
        self._lost.set()

    def _said(self, line: bytes) -> None:
        message = json.loads(line)
        match message:
            case {"ready": True}:
                self._ready.set()
                self.refill()
            case {"born": int(number), "pid": int(pid)} if number in self._workers:
                self._workers[number].pid = pid
            case {"ended": int(number), "status": int(status)}:
                self._worker_ended(number, status)

    def _worker_ended(self, number: int, status: int) -> None:
        worker = self._workers.pop(number, None)
        if worker is None:
            return
        if not worker.ended.done():
            worker.ended.set_result(status)
        if worker is self._spare:
            self._spare = None
            worker.own.close()

    def _fork(self) -> WorkerProcess:
        self._number += 1
        ours, theirs = socket.socketpair()
        worker = self._workers[self._number] = WorkerProcess(self._number, ours, self)
        self._tell({"fork": self._number}, theirs.detach())
        return worker

    def _tell(self, order: dict[str, int], descriptor: int | None = None) -> None:
        assert self._control is not None
        self._control.send(json.dumps(order).encode() + b"\n", descriptor)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """It ends by itself when its control socket is closed."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings may hold passwords (of the proxy, for one); the processes get what they need from main."""
    return {name: value for name, value in environ.items() if not name.upper().startswith(PRIVATE)}


def _not_started() -> FarsiteError:
    return FarsiteError(
        ErrorCode.UNAVAILABLE,
        "The edge host could not start a process for the session; see its log.",
        retry_after=5,
    )
