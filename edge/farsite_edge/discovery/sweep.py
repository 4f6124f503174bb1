"""Finds which TCP ports open, at a bounded rate: a non-blocking connect for each, no task, no thread."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farsite_edge.discovery.pace import TICK, Pace

Place = tuple[str, int]  # address, port
# Shorter than the second after which a kernel sends a SYN again (RFC 6298 2.1): the rate is what is on the wire.
PATIENCE = 0.95
PAUSE = 0.1  # when the kernel has no room
SPARE_FILES = 256
# On Windows a connection under way has a name of its own; elsewhere EWOULDBLOCK is EAGAIN: no room.
_CONNECTING = {errno.EINPROGRESS, errno.EINTR, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)}
_NO_ROOM = {
    errno.ENOBUFS, errno.EAGAIN, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
}  # fmt: skip


@dataclass(slots=True)
class _Pending:
    number: int
    place: Place
    socket: socket.socket
    until: float


class Sweep:
    """`await run()` once. Places are numbered in their order from `first` on; `opened(number, place)` is called for a
    port that opened, `closed(number)` when one did not. Hosts of which only one port answered are asked again for the
    others (number -1): a packet may be lost.
    """

    def __init__(
        self,
        places: Iterable[Place],
        pace: Pace,
        *,
        opened: Callable[[int, Place], None],
        closed: Callable[[int], None],
        first: int = 0,
        parallel: int | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.first = first
        self._places = enumerate(places, first)
        self._pace = pace
        self._opened = opened
        self._closed = closed
        self._patience = patience
        self._parallel = parallel or _room()
        self._pending: dict[int, _Pending] = {}
        self._again: deque[tuple[int, Place]] = deque()
        self._suspects: list[tuple[int, Place]] = []  # ports that said nothing, of hosts that are there
        self._alive: set[str] = set()
        self._watching = True
        self.knocks = 0
        self.unreachable = 0

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._go_through(self._places)
            await self._go_through(iter(self._suspects))
        finally:
            for fd in list(self._pending):
                self._forget(fd)

    async def _go_through(self, places: Iterator[tuple[int, Place]]) -> None:
        done = False
        while not done or self._pending or self._again:
            self._look()
            self._expire()
            room = self._parallel - len(self._pending)
            for _ in range(self._pace.take(min(room, 1000), self._loop.time())):
                following = self._again.popleft() if self._again else next(places, None)
                if following is None:
                    done = True
                    break
                if not self._knock(*following):
                    await asyncio.sleep(PAUSE)
                    break
            await asyncio.sleep(TICK)

    def _knock(self, number: int, place: Place) -> bool:
        """False: there is no room now, it is tried again."""
        address = place[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            knocking = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            return self._no_room(number, place, error.errno or 0)
        knocking.setblocking(False)
        # Closed with a reset: nothing of this lingers, here or there.
        with suppress(OSError):
            knocking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        try:
            code = knocking.connect_ex(place)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code not in (0, *_CONNECTING) and code in _NO_ROOM:
            knocking.close()
            return self._no_room(number, place, code)
        self.knocks += 1
        pending = _Pending(number, place, knocking, self._loop.time() + self._patience)
        if code in _CONNECTING:
            self._pending[knocking.fileno()] = pending
            self._watch(knocking.fileno())
        else:
            knocking.close()
            self._end(pending, code)
        return True

    def _no_room(self, number: int, place: Place, code: int) -> bool:
        if code not in _NO_ROOM:
            self._closed(number)
            return True
        self._again.append((number, place))
        return False

    def _watch(self, fd: int) -> None:
        if self._watching:
            try:
                self._loop.add_writer(fd, self._answered, fd)
            except NotImplementedError:  # Windows: looked at in every tick
                self._watching = False

    def _look(self) -> None:
        if self._watching or not self._pending:
            return
        sockets = {pending.socket: fd for fd, pending in self._pending.items()}
        _, open_, failed = select.select([], sockets, sockets, 0)
        for one in {*open_, *failed}:
            self._answered(sockets[one])

    def _answered(self, fd: int) -> None:
        pending = self._pending[fd]
        code = pending.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._forget(fd)
        self._end(pending, code)

    def _end(self, pending: _Pending, code: int) -> None:
        if code in (0, errno.ECONNREFUSED):
            self._alive.add(pending.place[0])
        else:
            self.unreachable += 1
        if code == 0:
            self._opened(pending.number, pending.place)
        else:
            self._closed(pending.number)

    def _expire(self) -> None:
        """The oldest come first: all have the same patience."""
        now = self._loop.time()
        late: list[int] = []
        for fd, pending in self._pending.items():
            if pending.until > now:
                break
            late.append(fd)
        for fd in late:
            pending = self._pending[fd]
            self._forget(fd)
            # Its other ports were asked at the same time: by now their answers are here.
            if pending.number >= 0 and pending.place[0] in self._alive:
                self._suspects.append((-1, pending.place))
            self._closed(pending.number)

    def _forget(self, fd: int) -> None:
        pending = self._pending.pop(fd)
        if self._watching:
            self._loop.remove_writer(fd)
        pending.socket.close()


def _room() -> int:
    """Connections at the same time: what this process may open, less what the rest of it needs."""
    try:
        import resource
    except ImportError:
        return 500  # what Windows lets one look at
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < 8192:
        wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft < 0:
        return 4096
    return max(16, min(4096, soft - SPARE_FILES - len(_open_files())))


def _open_files() -> list[Path]:
    try:
        return list(Path("/proc/self/fd").iterdir())
    except OSError:
        return []
