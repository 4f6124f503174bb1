"""N18: the edge host's process under a supervisor: killed, hanging, stopped, orphaned."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.admin.caller import AdminCaller
from farsite_edge.supervisor.notifier import Notifier
from farsite_signaling.wire.discovery_api import ScanStarted
from farsite_signaling.wire.edge_api import AuditList, EdgeStatus
from farsite_signaling.wire.edge_tasks import Task, TaskDetail, TaskState
from tests.edge.test_edge_command import MAIN, environment, ran

pytestmark = pytest.mark.timeout(240)

SLOW = {"FARSITE_EDGE_DISCOVERY_RATE": "10", "FARSITE_EDGE_ALLOW_LOOPBACK_DEVICES": "true"}
SHORT = """
import asyncio, sys
from farsite_edge.supervisor.rules import Limits
from farsite_edge.supervisor.supervisor import Supervisor
async def main():
    return await Supervisor([sys.executable, *sys.argv[1:]], Limits(silence=4.0)).run()
sys.exit(asyncio.run(main()))
"""


async def event(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """Signs of life and patience are seconds here: on a busy machine a start takes longer than either."""
    assert process.stdout is not None
    async with asyncio.timeout(150):
        while line := await process.stdout.readline():
            told: dict[str, Any] = json.loads(line)
            if told["event"] == name:
                return told
    raise AssertionError(f"it ended without {name}")


@asynccontextmanager
async def process(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that is watched; whatever it started ends with the block."""
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=environment(folder) | SLOW,
        stdout=pipe,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        await started.communicate()


async def test_killed_it_is_back_and_its_tasks_go_on(tmp_path: Path) -> None:
    async with process(tmp_path, "-c", MAIN, "run", "--supervised", "--json") as supervisor:
        first = await event(supervisor, "ready")
        body = {"targets": ["127.99.0.1-127.99.0.60"], "ports": [9]}
        caller = AdminCaller(tmp_path)
        scan = await caller.call("POST", "/discovery/scans", ScanStarted, body)
        assert scan.task is not None
        os.kill(first["pid"], signal.SIGKILL)
        second = await event(supervisor, "ready")
        assert second["pid"] != first["pid"] and second["id"] == first["id"]
        assert (await caller.call("GET", "/status", EdgeStatus)).id == first["id"]
        rows = (await caller.call("GET", "/audit", AuditList)).rows
        assert {"detail": "it ended with signal 9"} in [
            row.details for row in rows if row.action == "edge.restarted"
        ]
        async with asyncio.timeout(100):
            while not (task := await shown(caller, scan.task.id)).state.finished:
                await asyncio.sleep(0.1)
        assert task.state is TaskState.SUCCEEDED
        code, _, _ = await ran(tmp_path, "health")
        assert code == 0
        supervisor.send_signal(signal.SIGTERM)
        assert await supervisor.wait() == 0
        with pytest.raises(ProcessLookupError):
            os.kill(second["pid"], 0)
    code, _, err = await ran(tmp_path, "health")
    assert code == 1 and "farsite edge run" in err


async def shown(caller: AdminCaller, task: str) -> Task:
    return await caller.call("GET", f"/tasks/{task}", TaskDetail)


async def test_hanging_it_is_replaced(tmp_path: Path) -> None:
    async with process(tmp_path, "-c", SHORT, "-c", MAIN, "run", "--json") as supervisor:
        first = await event(supervisor, "ready")
        os.kill(first["pid"], signal.SIGSTOP)
        second = await event(supervisor, "ready")
        assert second["pid"] != first["pid"]
        with pytest.raises(ProcessLookupError):
            os.kill(first["pid"], 0)


async def test_without_its_supervisor_it_ends(tmp_path: Path) -> None:
    """The next supervisor's edge host would find the folder taken."""
    async with process(tmp_path, "-c", SHORT, "-c", MAIN, "run", "--json") as supervisor:
        await event(supervisor, "ready")
        supervisor.send_signal(signal.SIGKILL)
        assert supervisor.stdout is not None
        async with asyncio.timeout(100):
            rest = (await supervisor.stdout.read()).decode()  # until nobody has it open
        assert json.loads(rest.splitlines()[-1])["event"] == "stopping"


async def test_what_cannot_start_at_all_is_not_tried_for_ever(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, _ = await ran(tmp_path, "run", "--supervised", "--json", "--https-port", port)
    assert (code, json.loads(out)["code"]) == (1, "port_taken")


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
async def test_signs_of_life_to_systemd() -> None:
    """systemd may listen on an abstract socket; the variables are taken away from what is started later."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0farsite-test-{os.getpid()}")
        listening.setblocking(False)
        given = {"NOTIFY_SOCKET": f"@farsite-test-{os.getpid()}", "WATCHDOG_USEC": "80000"}
        environ = given | {"WATCHDOG_PID": str(os.getpid()), "KEPT": "1"}
        notifier = Notifier.from_environment(environ)
        assert environ == {"KEPT": "1"}
        loop = asyncio.get_running_loop()
        with notifier.beating(lambda: pytest.fail("it has no supervisor of ours")):
            notifier.ready("claimed")
            told = [await loop.sock_recv(listening, 100) for _ in range(4)]
            notifier.stopping()
        assert told == [b"WATCHDOG=1", b"READY=1\nSTATUS=claimed", b"WATCHDOG=1", b"WATCHDOG=1"]
        async with asyncio.timeout(10):
            while await loop.sock_recv(listening, 100) != b"STOPPING=1":
                pass
