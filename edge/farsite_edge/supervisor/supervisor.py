"""`farsite edge run --supervised`: a small process that starts the edge host, and starts it again when it dies or hangs.

For where there is no systemd: containers, macOS, trials. It reads no settings, opens no port and keeps no data.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from farsite_edge.supervisor.notifier import READY, SOCKET, WHY
from farsite_edge.supervisor.rules import Limits, Supervision

FLAG = "--supervised"
TICK = 1.0
STOP_SECONDS = 40.0
"""Longer than streams may take to end; then it is killed."""
LAST_WORDS = 2.0
"""Between SIGABRT, at which it writes where it hangs, and SIGKILL."""
_ABORT = getattr(signal, "SIGABRT", signal.SIGTERM)
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
logger = logging.getLogger(__name__)


def same_without_flag() -> list[str]:
    """The command line of this very process, unsupervised."""
    return [sys.executable, *(word for word in sys.orig_argv[1:] if word != FLAG)]


class Supervisor:
    """Lives as long as `run`. The process writes to our own output."""

    def __init__(self, command: Sequence[str], limits: Limits | None = None) -> None:
        self._command = list(command)
        self._limits = limits or Limits()
        self._supervision = Supervision(self._limits)
        self._stop = asyncio.Event()
        self._stop_at = float("inf")
        self._silent = False
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """The exit code of the last process; 0 when it was us who were told to stop."""
        self._on_signals()
        with self._listening() as environment:
            while True:
                self._silent = False
                code = await self._once(environment)
                pause = None if self._stop.is_set() else self._supervision.ended(self._now(), code)
                if pause is None:
                    return 0 if self._stop.is_set() else abs(code)
                environment[WHY] = (
                    "it gave no sign of life" if self._silent else f"it ended with {_said(code)}"
                )
                logger.error("the edge host starts again in %.1f s: %s", pause, environment[WHY])
                if await self._stopped_within(pause):
                    return 0

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _once(self, environment: dict[str, str]) -> int:
        process = self._process = await asyncio.create_subprocess_exec(*self._command, env=environment)
        self._supervision.started(self._now())
        try:
            if self._stop.is_set():
                _signal(process, signal.SIGTERM)
            while not await _ends_within(process, TICK):
                await self._look(process)
        finally:
            self._process = None
        assert process.returncode is not None
        return process.returncode

    async def _look(self, process: asyncio.subprocess.Process) -> None:
        now = self._now()
        if now > self._stop_at:
            _signal(process, _KILL)
        elif not self._stop.is_set() and self._supervision.hangs(now):
            self._silent = True
            logger.error("the edge host gives no sign of life: it is ended")
            _signal(process, _ABORT)
            if not await _ends_within(process, LAST_WORDS):
                _signal(process, _KILL)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._stop.wait()
        except TimeoutError:
            return False

    def _told_to_stop(self) -> None:
        self._stop.set()
        self._stop_at = min(self._stop_at, self._now() + STOP_SECONDS)
        if self._process is not None:
            _signal(self._process, signal.SIGTERM)

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                loop.add_signal_handler(number, self._told_to_stop)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._told_to_stop))

    @contextmanager
    def _listening(self) -> Iterator[dict[str, str]]:
        """The environment of the process, with the place it tells signs of life to. Where there are no such sockets it is
        watched for its end alone."""
        if not hasattr(socket, "AF_UNIX") or os.name != "posix":
            self._supervision = Supervision(Limits(start=float("inf")))
            yield dict(os.environ)
            return
        with tempfile.TemporaryDirectory(prefix="farsite-") as folder, _ear(folder, self._heard) as path:
            watchdog = str(int(self._limits.silence * 1e6))
            yield {**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": watchdog}

    def _heard(self, data: bytes) -> None:
        if self._process is not None:
            ready = READY in data.decode("utf-8", "replace").splitlines()
            self._supervision.heard(self._now(), ready=ready)


@contextmanager
def _ear(folder: str, heard: Callable[[bytes], None]) -> Iterator[Path]:
    """In a folder of our own: nobody else can speak to it."""
    path = Path(folder) / SOCKET
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.setblocking(False)
        ear.bind(str(path))

        def receive() -> None:
            with suppress(BlockingIOError):
                heard(ear.recv(4096))

        loop.add_reader(ear.fileno(), receive)
        try:
            yield path
        finally:
            loop.remove_reader(ear.fileno())


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


async def _ends_within(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _said(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def supervise(command: Sequence[str]) -> int:
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)-7s supervisor: %(message)s")

    async def work() -> int:
        return await Supervisor(command).run()

    return asyncio.run(work())
