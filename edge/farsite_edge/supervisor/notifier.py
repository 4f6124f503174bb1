"""What a supervised process tells of itself, by the protocol of systemd: sd_notify(3).

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import PurePath

SOCKET = "farsite-supervisor.sock"
"""The name of our own supervisor's socket: when that one is gone, so is who would start the edge host again."""
WHY = "FARSITE_RESTARTED"
"""The variable in which our own supervisor says why it started the process again."""
SLOWEST = 10.0
READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


class Notifier:
    """Silent where nobody listens. `every`: seconds between signs of life; `orphaned` is called when our own supervisor
    died. `why` there was a start before this one, if our own supervisor said so."""

    def __init__(self, address: str = "", every: float = SLOWEST, *, why: str = "") -> None:
        self.why = why
        self._address = address
        self._every = min(every, SLOWEST)
        self._parent = os.getppid()
        self._sending: socket.socket | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Takes the variables away: they are not for the processes this one starts."""
        address, limit = environ.pop("NOTIFY_SOCKET", ""), environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        usable = hasattr(socket, "AF_UNIX") and address.startswith(("/", "@"))
        seconds = int(limit) / 1e6 if limit.isdigit() and meant else 3 * SLOWEST
        # Three signs may be lost before somebody acts.
        return cls(address if usable else "", seconds / 4, why=environ.pop(WHY, ""))

    def ready(self, text: str = "") -> None:
        self._tell(READY, f"STATUS={text}")

    def stopping(self) -> None:
        self._tell(STOPPING)

    @contextmanager
    def beating(self, orphaned: Callable[[], None]) -> Iterator[None]:
        """Signs of life for as long as the event loop turns: one that hangs gives none."""
        if not self._address:
            yield
            return
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle | None = None

        def beat() -> None:
            nonlocal handle
            self._tell(ALIVE)
            if self._is_orphaned():
                orphaned()
            handle = loop.call_later(self._every, beat)

        beat()
        try:
            yield
        finally:
            if handle is not None:
                handle.cancel()
            self._close()

    def _is_orphaned(self) -> bool:
        return PurePath(self._address).name == SOCKET and os.getppid() != self._parent

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        if self._sending is None:
            self._sending = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sending.setblocking(False)
        # A supervisor that is being restarted, or is behind with reading: the next sign will do.
        with suppress(OSError):
            self._sending.sendto("\n".join(lines).encode(), self._address.replace("@", "\0", 1))

    def _close(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.close()
