"""The `farsite` command in processes of its own, forked off one that has imported it.

Arguments, environment, standard files, exit code and the end of the interpreter are those of a process started anew;
the second of imports before is not. What start-up itself does is tested with processes that are started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MESSAGE = 1 << 18


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


class Commands:
    """`with commands_server() as commands: ran = await commands.run("edges", "--json", env=os.environ)`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    async def run(self, *arguments: str, env: Mapping[str, str], stdin: str = "") -> Ran:
        """To its end."""
        with contextlib.ExitStack() as stack:
            given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            given.write(stdin.encode())
            given.seek(0)
            reply, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(reply)
            with theirs:
                job = json.dumps([arguments, dict(env), str(os.getcwd())]).encode()
                files = [file.fileno() for file in (given, out, err, theirs)]
                socket.send_fds(self._control, [job], files)
            code = await _exit_code(reply)
            for file in (out, err):
                file.seek(0)
            return Ran(code, out.read().decode(), err.read().decode())


async def _exit_code(reply: socket.socket) -> int:
    """Negative for the number of a signal. The process does not outlive whoever waits for it."""
    reply.setblocking(False)
    loop = asyncio.get_running_loop()
    pid = int(await loop.sock_recv(reply, 64))
    try:
        return int(await loop.sock_recv(reply, 64))
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise


@contextlib.contextmanager
def commands_server() -> Iterator[Commands]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            number = theirs.fileno()
            process = subprocess.Popen([sys.executable, "-m", "tests.forked", str(number)], pass_fds=[number])
        yield Commands(ours)
    process.wait(timeout=30)


def _main(number: int) -> None:
    """Fork for each job until the other end is closed; in the fork, run the job's command and exit as it does."""
    from farsite_client.cli import main
    from farsite_client.cli.table import OWN

    for module, _ in OWN.values():
        importlib.import_module(module.partition(":")[0])
    gc.collect()
    gc.freeze()
    arguments = _serve(socket.socket(fileno=number))
    if arguments is not None:
        main(arguments)


def _serve(control: socket.socket) -> list[str] | None:
    """The arguments in a fork; None at the end."""
    ended, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, ended], [], [])
        if ended in ready:
            ended.recv(4096)
            _tell(running)
        if control not in ready:
            continue
        message, files, _, _ = socket.recv_fds(control, _MESSAGE, 4)
        if not message:
            return None
        arguments, environment, folder = json.loads(message)
        pid = os.fork()
        if pid == 0:
            for one in (*running.values(), control, ended):
                one.close()
            signal.set_wakeup_fd(-1)
            wake.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(files, environment, folder)
            return list(arguments)
        running[pid] = socket.socket(fileno=files.pop())
        running[pid].send(str(pid).encode())
        for file in files:
            os.close(file)


def _tell(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as reply, contextlib.suppress(OSError):
            reply.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(files: list[int], environment: dict[str, str], folder: str) -> None:
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
