"""Forks workers: `python -m farsite_edge.workers.zygote DESCRIPTOR LEVEL [FOLDER]`, started by main.

It has loaded what a tunnel needs once, and each worker shares that memory. It has one thread, no event loop and no
secret, reads nothing but what main says, and when main is gone it ends all workers and itself. `FOLDER` is where workers
may write.

main -> zygote   {"fork": 7} with a descriptor (the worker's control socket); {"kill": 7}
zygote -> main   {"ready": true}; {"born": 7, "pid": 4711}; {"ended": 7, "status": wait status}
"""

from __future__ import annotations

import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from farsite_edge import heap
from farsite_edge.redaction import RedactingFormatter
from farsite_edge.workers import confine

GRACE = 1.0
"""Seconds workers have to say goodbye when main is gone."""
LONGEST = 4096
MOST_DESCRIPTORS = 65536
logger = logging.getLogger(__name__)


def preload() -> None:
    """What a worker uses, imported and played through before it is forked."""
    import asyncio

    from farsite_edge.workers.rehearsal import rehearse
    from farsite_edge.workers.worker import loop_factory

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(rehearse())


class Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: dict[int, int] = {}  # pid -> number
        self._buffer = b""
        self._descriptors: list[int] = []
        self._wake, self._waker = socket.socketpair()
        self._gone = False

    def run(self) -> None:
        """Until main is gone. In a worker it does not return."""
        self._listen()
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            self._selector = selector
            self._say({"ready": True})
            while not self._gone:
                for key, _ in selector.select():
                    self._drain() if key.fileobj is self._wake else self._receive()
                self._reap()
        self._end_all()

    def _listen(self) -> None:
        for own in (self._wake, self._waker):
            own.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(4096)

    def _say(self, message: dict[str, int | bool]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._gone = True

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, LONGEST, 16)
        except OSError:
            data, descriptors = b"", []
        self._descriptors += descriptors
        self._buffer += data
        self._gone = self._gone or not data
        while b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, int]) -> None:
        if "fork" in order:
            self._fork(order["fork"], self._descriptors.pop(0))
        elif "kill" in order:
            self._kill(order["kill"])

    def _kill(self, number: int) -> None:
        """Its number cannot have become another process's: it was not waited for yet."""
        for pid, known in self._workers.items():
            if known == number:
                os.kill(pid, signal.SIGKILL)

    def _fork(self, number: int, descriptor: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(descriptor, parent)
        os.close(descriptor)
        self._workers[pid] = number
        self._say({"born": number, "pid": pid})

    def _become_worker(self, descriptor: int, parent: int) -> None:
        """Never returns: a worker has no business in what the zygote does next."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for own in (self._control, self._wake, self._waker):
                own.close()
            for other in self._descriptors:
                os.close(other)
            confine.die_with_parent(parent)
            gc.enable()
            from farsite_edge.workers.worker import serve

            serve(socket.socket(fileno=descriptor))
            status = 0
        except BaseException:
            logger.exception("tunnel process failed")
        finally:
            with suppress(Exception):
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._workers.pop(pid, None)
            if number is not None:
                self._say({"ended": number, "status": status})

    def _end_all(self) -> None:
        deadline = time.monotonic() + GRACE
        while self._workers and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)


def log_handler() -> logging.Handler:
    """To the error output, which is the edge host's; secrets taken out as there."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        RedactingFormatter("%(asctime)s %(levelname)-7s [%(process)d] %(name)s: %(message)s")
    )
    return handler


def main(arguments: list[str]) -> None:
    descriptor, level, *folder = int(arguments[0]), *arguments[1:]
    # What main's starter left open, or a library of main's, is none of our business.
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, MOST_DESCRIPTORS)
    # The terminal's Ctrl-C and a service manager's stop reach every process of the group: main ends us in order.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    logging.basicConfig(level=level, handlers=[log_handler()])
    for noisy in ("aioice", "aiortc", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    gc.disable()
    confine.harden()
    heap.tidy()
    preload()
    confine.close_doors(Path(folder[0]) if folder else None)
    gc.freeze()
    Zygote(socket.socket(fileno=descriptor)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
