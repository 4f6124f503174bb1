"""Network namespaces of our own: made, entered, and removed even after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# The owner's process id and start time: a leftover is told from a namespace in use, even when ids are reused.
_NAME = re.compile(r"farsite-lab-(\d+)-(\d+)-.+")
_CLONE_NEWNET = 0x40000000
_RUN_DIRECTORY = Path("/run/netns")
_PROGRAMS = {"ip": "iproute2", "nft": "nftables", "sysctl": "procps", "openssl": "openssl"}
_SYSTEM_PATH = "/usr/sbin:/sbin"


def missing() -> str | None:
    """Why no namespaces can be made here; `None` when they can."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root (sudo)"
    absent = [package for program, package in _PROGRAMS.items() if which(program) is None]
    return f"install {' '.join(absent)}" if absent else None


def which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")


@dataclass(frozen=True)
class Namespace:
    name: str

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `arguments` inside."""
        return [which("ip") or "ip", "netns", "exec", self.name, *arguments]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread makes inside belong to the namespace, and stay there afterwards.

        Threads and processes started inside follow; threads that run already, such as an executor's, do not. Held
        across an `await`, it holds for every task of the loop.
        """
        with Path("/proc/thread-self/ns/net").open("rb") as before:
            with (_RUN_DIRECTORY / self.name).open("rb") as target:
                _setns(target.fileno())
            try:
                yield
            finally:
                _setns(before.fileno())

    async def run(self, *arguments: str, text: str = "") -> str:
        """Run to the end inside; returns what it printed. Raises `FarsiteError` (`unavailable`)."""
        return await run(*self.command(*arguments), text=text)


def _setns(descriptor: int) -> None:
    """`os.setns` of Python 3.12, for 3.11."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def prefix() -> str:
    return f"farsite-lab-{os.getpid()}-{_start_time(os.getpid())}"


async def make(name: str) -> Namespace:
    """A namespace with nothing in it but loopback; IPv6 off, so that no address is there unasked."""
    await run("ip", "netns", "add", name)
    namespace = Namespace(name)
    await namespace.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.conf.all.rp_filter=0")
    await run("ip", "-n", name, "link", "set", "lo", "up")
    return namespace


async def remove(namespace: Namespace) -> None:
    """End what runs inside and remove it. Idempotent; never raises for what is already gone."""
    if not (_RUN_DIRECTORY / namespace.name).exists():
        return
    with contextlib.suppress(FarsiteError):
        for pid in (await run("ip", "netns", "pids", namespace.name)).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        await run("ip", "netns", "delete", namespace.name)


async def sweep() -> list[str]:
    """Remove namespaces whose owner is gone; returns their names."""
    if not _RUN_DIRECTORY.is_dir():
        return []
    left = [entry.name for entry in _RUN_DIRECTORY.iterdir() if _is_orphan(entry.name)]
    for name in left:
        await remove(Namespace(name))
    return left


def _is_orphan(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and _start_time(int(match[1])) != int(match[2])


def _start_time(pid: int) -> int:
    """In clock ticks since boot; 0 when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[19])


async def run(*arguments: str, text: str = "") -> str:
    """Run a system command to its end. Raises `FarsiteError` (`unavailable`) with what it complained about."""
    program = which(arguments[0])
    if program is None:
        raise FarsiteError(ErrorCode.UNAVAILABLE, f"{arguments[0]} is not installed.")
    pipe = asyncio.subprocess.PIPE
    # Without input no pipe for it: uvloop raises when the process has ended before its pipe is written to.
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments[1:],
        stdin=pipe if text else asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env=_environment(),
    )
    output, complaint = await process.communicate(text.encode() or None)
    if process.returncode != 0:
        what = " ".join(arguments)
        raise FarsiteError(ErrorCode.UNAVAILABLE, f"{what}: {complaint.decode(errors='replace').strip()}")
    return output.decode(errors="replace")


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"}
