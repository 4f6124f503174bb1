"""A `turnserver` of our own: configured, started, watched and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections import deque
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from farsite_cloud.turn.certificate import ensure_certificate
from farsite_cloud.turn.checks import check
from farsite_cloud.turn.config import TurnSettings, ice_servers, render
from farsite_cloud.turn.probe import accepts_tcp, answers_udp
from farsite_cloud.turn.process import leftover, stop_other
from farsite_cloud.turn.version import advice, installed_version
from farsite_signaling.identity.keys import write_private
from farsite_signaling.processes import stop
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ice import IceServer

log = logging.getLogger(__name__)

START_SECONDS = 15.0
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0
STEADY_SECONDS = 60.0
RENEWAL_SECONDS = 12 * 3600.0
CONFIG_FILE = "turnserver.conf"
TLS_FOLDER = "tls"
"""Where a certificate of our own is kept, when none is given."""
SYSTEM_ACCOUNT = "turnserver"
"""The account Debian's package makes."""


class TurnState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    """Failed; tried again after a back-off."""
    UNAVAILABLE = "unavailable"
    """Not installed: trying again does not help."""


class TurnServer:
    """Runs coturn while entered.

    Entering returns once the server answers or the first attempt failed. It never raises for what keeps the
    relay from running, because everything but relayed paths works without it: read `problem`.
    """

    def __init__(self, settings: TurnSettings) -> None:
        self.settings = settings
        """Certificate, authority and account are filled in once entered."""
        self.state = TurnState.STOPPED
        self.problem: FarsiteError | None = None
        self.advice: str | None = None
        """What had better change about the installed coturn, for people."""
        self.restarts = 0
        self._changed = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._last_lines: deque[str] = deque(maxlen=20)

    @property
    def running(self) -> bool:
        return self.state is TurnState.RUNNING

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def config_file(self) -> Path:
        return self.settings.data_dir / CONFIG_FILE

    def ice_servers(self, session: str, now: float, ttl: int | None = None) -> list[IceServer]:
        """Without our own while it does not run: peers would only wait for it."""
        return ice_servers(self.settings, session, now, ttl, own=self.running)

    async def __aenter__(self) -> Self:
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._task = group.create_task(self._supervise(), name="turn supervisor")
        try:
            await self.wait_for({TurnState.RUNNING, TurnState.WAITING, TurnState.UNAVAILABLE})
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._task is not None:
            self._task.cancel("relay closed")
        await self._stack.aclose()

    async def wait_for(self, states: set[TurnState]) -> None:
        """Return when one of the states holds; the caller sets the deadline."""
        while self.state not in states:
            self._changed.clear()
            await self._changed.wait()

    def _set_state(self, state: TurnState) -> None:
        if state is not self.state:
            log.info("turn %s -> %s", self.state, state)
        self.state = state
        self._changed.set()

    async def _supervise(self) -> None:
        backoff = FIRST_BACKOFF
        try:
            while True:
                started = asyncio.get_running_loop().time()
                await self._attempt()
                if self.state is TurnState.UNAVAILABLE:
                    return
                if asyncio.get_running_loop().time() - started > STEADY_SECONDS:
                    backoff = FIRST_BACKOFF
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, LAST_BACKOFF)
                self.restarts += 1
        finally:
            if self.state is not TurnState.UNAVAILABLE:
                self._set_state(TurnState.STOPPED)

    async def _attempt(self) -> None:
        """One life of the server. Whatever goes wrong becomes `problem`; the loop never dies of it."""
        self._set_state(TurnState.STARTING)
        try:
            await self._live()
        except FarsiteError as error:
            self._failed(error)
        except OSError as error:
            self._failed(FarsiteError(ErrorCode.STORAGE_FAILED, f"The relay cannot be set up: {error}."))
        except Exception as error:
            log.exception("turn supervisor")
            self._failed(FarsiteError(ErrorCode.INTERNAL, f"The relay failed: {error}."))

    def _failed(self, error: FarsiteError) -> None:
        if self.problem is None or self.problem.detail != error.detail:
            log.warning("relay: %s", error)
        self.problem = error
        installed = shutil.which(self.settings.executable) is not None
        self._set_state(TurnState.WAITING if installed else TurnState.UNAVAILABLE)

    async def _live(self) -> None:
        await self._prepare()
        self._process = process = await self._start()
        try:
            async with asyncio.TaskGroup() as group:
                await self._watch(group, process)
        finally:
            await stop(process)
        raise FarsiteError(ErrorCode.TURN_UNAVAILABLE, self._ending(process))

    async def _prepare(self) -> None:
        await asyncio.to_thread(self._fill_in)
        version = await installed_version(self.settings.executable)
        self.advice = advice(version)
        if self.advice and not self.restarts:
            log.warning("relay: %s", self.advice)
        await asyncio.to_thread(write_private, self.config_file, render(self.settings, version).encode())
        await self._stop_leftover()
        check(self.settings)

    def _fill_in(self) -> None:
        user = self.settings.user or service_account()
        directory = self.settings.data_dir.absolute()
        self.settings = self.settings.model_copy(update={"user": user, "data_dir": directory})
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fill_in_certificate()

    def _fill_in_certificate(self) -> None:
        """True to its name only where none was given; called again, it renews what is getting old."""
        ours = self.settings.data_dir / TLS_FOLDER
        given = self.settings.certificate
        if not self.settings.tls or (given is not None and given.parent != ours):
            return
        made = ensure_certificate(ours, self.settings.host)
        update = {"certificate": made.certificate, "key": made.key, "ca": made.ca}
        self.settings = self.settings.model_copy(update=update)

    async def _stop_leftover(self) -> None:
        """A relay that outlived a killed supervisor of ours would hold the ports."""
        pid = leftover(self.settings.pid_file, self.config_file)
        if pid is not None:
            log.warning("stopping the relay left over from an earlier run (process %d)", pid)
            await stop_other(pid)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self.settings.executable,
            "-c",
            str(self.config_file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.settings.data_dir,
            start_new_session=True,  # Ctrl-C is for us; the relay is stopped after the tunnels it carries
        )

    async def _watch(self, group: asyncio.TaskGroup, process: asyncio.subprocess.Process) -> None:
        group.create_task(self._read_log(process), name="turn log")
        ended = group.create_task(process.wait(), name="turn process")
        answer = group.create_task(self._answers(), name="turn probe")
        await asyncio.wait({ended, answer}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and not ended.done():
            self.problem = None
            self._set_state(TurnState.RUNNING)
            renewal = group.create_task(self._renew(process), name="turn certificate")
            await ended
            renewal.cancel()
        answer.cancel()
        await stop(process)

    async def _answers(self) -> None:
        host = self.settings.listening_ips[0] if self.settings.listening_ips else "127.0.0.1"
        tls = self.settings.tls_port or self.settings.alt_tls_port
        if self.settings.port is not None:
            await answers_udp(host, self.settings.port)
        if tls is not None:
            await accepts_tcp(host, tls)

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            log.debug("turnserver: %s", text)

    async def _renew(self, process: asyncio.subprocess.Process) -> None:
        """Have coturn use a renewed certificate, ours or the administrator's."""
        loaded = self._certificate_time()
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            await asyncio.to_thread(self._fill_in_certificate)
            if (current := self._certificate_time()) == loaded:
                continue
            loaded = current
            if self.settings.user is None:
                process.send_signal(signal.SIGUSR2)
            else:
                # Having given root up it cannot read the key again; it is started anew.
                process.terminate()

    def _certificate_time(self) -> float:
        if self.settings.certificate is None:
            return 0.0
        try:
            return self.settings.certificate.stat().st_mtime
        except OSError:
            return 0.0

    def _ending(self, process: asyncio.subprocess.Process) -> str:
        last = next((line for line in reversed(self._last_lines) if "error" in line.lower()), "")
        how = (
            f"ended with status {process.returncode}" if process.returncode is not None else "does not answer"
        )
        return f"turnserver {how}; it is started again. {last}".strip()


def service_account() -> str | None:
    """The account to give root up for, where we have it to give."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    try:
        return pwd.getpwnam(SYSTEM_ACCOUNT).pw_name
    except KeyError:
        return None
