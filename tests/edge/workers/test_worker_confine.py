"""What a process that reads strangers' bytes can still do: tried by one that was taken over."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from farsite_edge.workers import landlock, zygote

TRIES = """
import json, os, socket, sys
from pathlib import Path
from farsite_edge.workers import confine

folder, own, other = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
confine.harden()
confine.close_doors(own)

def attempt(act):
    try:
        act()
    except OSError:
        return False
    return True

def exits():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

def to(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))

print(json.dumps({
    "read a key": attempt(lambda: (folder / "identity.key").read_text()),
    "list the folder": attempt(lambda: os.listdir(folder)),
    "write beside it": attempt(lambda: (folder / "new").write_text("x")),
    "the administration socket": attempt(lambda: to(folder / "admin.sock")),
    "run a program": attempt(lambda: os.execv(sys.executable, [sys.executable, "-c", ""])),
    "signal main": attempt(lambda: os.kill(other, 0)),
    "main's environment": attempt(lambda: Path(f"/proc/{other}/environ").read_bytes()),
    "main's memory": attempt(lambda: open(f"/proc/{other}/mem", "rb")),
    "write its own folder": attempt(lambda: (own / "networks.json").write_text("{}")),
    "read host names": attempt(lambda: Path("/etc/hosts").read_text()),
    "look up a name": attempt(lambda: socket.getaddrinfo("localhost", 80)),
    "open a UDP socket": attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).close()),
    "a socket pair": attempt(lambda: [one.close() for one in socket.socketpair()]),
    "import a module": attempt(lambda: __import__("wave")),
    "fork": attempt(exits),
}))
"""
STILL = {
    "write its own folder",
    "read host names",
    "look up a name",
    "open a UDP socket",
    "a socket pair",
    "import a module",
    "fork",
}


@pytest.mark.skipif(
    landlock.version() < 6 or platform.machine() not in ("x86_64", "aarch64"),
    reason="needs Linux 6.12 with Landlock",
)
async def test_what_is_left_to_a_process_that_was_taken_over() -> None:
    with tempfile.TemporaryDirectory(prefix="farsite-") as name, socket.socket(socket.AF_UNIX) as listener:
        folder = Path(name)
        (folder / "identity.key").write_text("secret")
        own = folder / "tunnels"
        own.mkdir()
        listener.bind(str(folder / "admin.sock"))
        listener.listen()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", TRIES, str(folder), str(own), str(os.getpid())),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    found = json.loads(out)
    assert {what for what, could in found.items() if could} == STILL


def test_what_sessions_log_holds_no_password() -> None:
    """Of a proxy, say, in a foreign exception."""
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "via http://me:hunter2@proxy:3128", (), None)
    text = zygote.log_handler().format(record)
    assert "hunter2" not in text
    assert "proxy:3128" in text
