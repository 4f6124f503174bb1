"""N18: the edge host's process is killed with SIGKILL, and devices lose their power, in every state of their work.

One table of states x faults for a whole process beside a process of devices; `axis_os/test_os_crashes.py` and
`policies/test_policy_crashes.py` hold the same around every single checkpoint, in one process.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.admin.caller import AdminCaller
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator.image import make_image
from farsite_edge.testing import run_edge
from farsite_signaling.wire.edge_api import DeviceList, DeviceState
from farsite_signaling.wire.edge_tasks import Task, TaskDetail, WorkState
from farsite_signaling.wire.policy_api import AssignResults, Policy, PolicyCreate
from tests.edge.device_rack import IGNORED, MODEL
from tests.edge.test_edge_command import MAIN, environment, event

pytestmark = pytest.mark.timeout(300)

COUNT = 16
OLD, NEW = "12.9.57", "12.10.1"
UPGRADE, POLICY = "os.upgrade", "policy"
STATES = {
    UPGRADE: ("ready", "info", "status", "upload", "restart", "look", "commit"),
    POLICY: ("apply", "verify", "undo", "look"),
}
FAULTS = ("killed", "power", "both")
TABLE = {(kind, state, fault) for kind, states in STATES.items() for state in states for fault in FAULTS}
STEP = re.compile(rb"task \w+ \((\S+)\), device (\w+): step (\w+)")
SETTINGS = {
    "OS_POLL_INTERVAL": "0.05",
    "OS_RESTART_TIMEOUT": "15",
    "POLL_INTERVAL": "3600",
    "DISCOVERY_INTERVAL": "3600",
    "POLICY_POLL": "600",
    "POLICY_RECOVER_TIMEOUT": "5",
    "LOG_IN_INTERVAL": "0.2",
    "SHUTDOWN_TIMEOUT": "0.2",
    "TASK_PARALLEL": "8",
    "ALLOW_LOOPBACK_DEVICES": "true",
    "LOG_LEVEL": "debug",
}
WANTED = {"System.AccessLog": "On", IGNORED: "no"}
POLICY_SETTINGS = {"access_log": True, "link_local": False}
BEFORE = {"System.AccessLog": "Off", IGNORED: "yes"}


class Rack:
    """The process of the devices."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> list[dict[str, Any]]:
        assert self._process.stdout is not None
        answer: list[dict[str, Any]] = json.loads(await self._process.stdout.readline())
        return answer

    async def order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()

    async def told(self) -> dict[str, dict[str, Any]]:
        await self.order(tell=True)
        return {one["serial"]: one for one in await self.answer()}


@asynccontextmanager
async def device_rack(count: int) -> AsyncIterator[tuple[Rack, list[dict[str, Any]]]]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.edge.device_rack",
        str(count),
        stdin=pipe,
        stdout=pipe,
        limit=1 << 24,
        cwd=Path(__file__).parents[2],
    )
    rack = Rack(process)
    try:
        yield rack, await rack.answer()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def prepared(folder: Path, devices: list[dict[str, Any]]) -> list[str]:
    """A data folder whose edge host manages the devices."""
    async with run_edge(folder, poll_interval=3600, discovery_interval=3600) as edge:
        found = [FoundDevice(one["serial"], one["address"], one["port"]) for one in devices]
        await edge.host.registry.found(found)
        ids = [one.serial for one in found]
        await edge.host.manager.add(ids)
        results = await edge.host.manager.log_in(ids, Account("root", "farsite-demo"))
        assert all(one.ok for one in results), results
    return ids


class Victim:
    """The edge host's process: told to do work, killed, started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.caller = AdminCaller(folder)
        self.process: asyncio.subprocess.Process | None = None
        self.kills = 0

    async def start(self) -> None:
        settings = {f"FARSITE_EDGE_{name}": value for name, value in SETTINGS.items()}
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-c", MAIN, "run", "--json"],
            env=environment(self.folder) | settings,
            stdout=pipe,
            stderr=pipe,
            limit=1 << 20,
        )

    async def ready(self) -> None:
        assert self.process is not None
        await event(self.process, "ready")

    async def kill(self) -> list[tuple[str, str, str]]:
        """What stood in the database then: kind, device and step of all work in progress."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self.kills += 1
        with sqlite3.connect(self.folder / "edge.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            sql = (
                "SELECT json_extract(record, '$.kind'), device, step FROM task_devices "
                "JOIN tasks ON tasks.id = task WHERE state = 'running'"
            )
            rows = database.execute(sql).fetchall()
        database.close()
        return rows


class Reaper:
    """Lets each fault happen in each state, once; `left` is what has not happened yet."""

    def __init__(self, victim: Victim, rack: Rack) -> None:
        self.left = set(TABLE)
        self._victim = victim
        self._rack = rack

    async def watch(self, until: asyncio.Event) -> None:
        """Steps of the running edge host, until it ends or nothing is to be done any more."""
        assert self._victim.process is not None and self._victim.process.stderr is not None
        lines = self._victim.process.stderr
        while not until.is_set():
            try:
                async with asyncio.timeout(0.3):
                    line = await lines.readline()
            except TimeoutError:
                continue
            if not line:
                raise AssertionError("the edge host ended by itself")
            if match := STEP.search(line):
                kind, device, step = (part.decode() for part in match.groups())
                if await self._strike(kind, device, step):
                    return

    async def _strike(self, kind: str, device: str, step: str) -> bool:
        """Whether the edge host was killed."""
        fault = next((one for one in ("both", "power", "killed") if (kind, step, one) in self.left), None)
        if fault is None:
            return False
        if fault != "killed":
            await self._rack.order(power=device)
        if fault != "power":
            for other_kind, _, other_step in await self._victim.kill():
                self.left.discard((other_kind, other_step, "killed"))
        self.left.discard((kind, step, fault))
        return fault != "power"


async def ended(victim: Victim, tasks: list[str]) -> None:
    """Through the local API; the edge host may be killed while it is asked."""
    for task in tasks:
        while not (await victim.caller.call("GET", f"/tasks/{task}", TaskDetail)).state.finished:
            await asyncio.sleep(0.1)


async def work(victim: Victim, ids: list[str], policy: str, version: str) -> list[str]:
    """Half of the devices are upgraded while the others are brought in line."""
    half = len(ids) // 2
    body = {"ids": ids[:half], "version": version, "rollout": {"parallel": 4}}
    upgrade = await victim.caller.call("POST", "/os/upgrades", Task, body)
    applied = await victim.caller.call("POST", f"/policies/{policy}/apply", Task, {"ids": ids[half:]})
    return [upgrade.id, applied.id]


async def reaped(victim: Victim, reaper: Reaper, tasks: list[str]) -> None:
    """Killed again and again, and started again each time, until the tasks are finished."""
    while True:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(reaper.watch(over))
            finishing = group.create_task(_finish(victim, tasks, over))
            await watching
            if over.is_set():
                return
            finishing.cancel()
        await victim.start()
        await victim.ready()


async def _finish(victim: Victim, tasks: list[str], over: asyncio.Event) -> None:
    try:
        await ended(victim, tasks)
    except Exception:
        return  # it is dead: whoever killed it starts it again
    over.set()


@asynccontextmanager
async def running(victim: Victim) -> AsyncIterator[None]:
    await victim.start()
    try:
        await victim.ready()
        yield
    finally:
        if victim.process is not None and victim.process.returncode is None:
            victim.process.kill()
            await victim.process.wait()


async def settled(victim: Victim, rack: Rack, tasks: list[str], version: str) -> list[str]:
    """The edge host and the devices agree, whatever happened. Devices whose upgrade has to be begun anew."""
    devices = await rack.told()
    again = []
    upgrade, applied = [await victim.caller.call("GET", f"/tasks/{task}", TaskDetail) for task in tasks]
    for row in upgrade.devices:
        device = devices[row.device]
        done = row.state is WorkState.SUCCEEDED
        assert row.state in (WorkState.SUCCEEDED, WorkState.FAILED), row
        assert device["committed"] and (device["version"] == version) is done, (row, device["version"])
        assert sum(step.step == row.state for step in row.steps) == 1, row.steps
        again += [] if done else [row.device]
    for row in applied.devices:
        device = devices[row.device]
        assert device["parameters"]["System.AccessLog"] == "On", row
        assert device["parameters"][IGNORED] == ("yes" if device["stubborn"] else "no"), row
        assert row.state is (WorkState.FAILED if device["stubborn"] else WorkState.SUCCEEDED), row
    listed = await victim.caller.call("GET", "/devices", DeviceList)
    assert {one.state for one in listed.devices if one.managed} == {DeviceState.REACHABLE}
    assert not any(device["refused"] for device in devices.values())
    return again


async def test_it_ends_right_without_a_hand_whatever_is_killed_when(tmp_path: Path) -> None:
    begun = time.monotonic()
    folder = tmp_path / "edge"
    images = folder / "images"
    images.mkdir(parents=True)
    versions = [NEW, "12.10.2", "12.10.3"]
    for version in versions:
        make_image(images / f"{MODEL}_{version}.bin", (MODEL,), version)
    async with AsyncExitStack() as stack:
        rack, devices = await stack.enter_async_context(device_rack(COUNT))
        ids = await prepared(folder, devices)
        victim = Victim(folder)
        await stack.enter_async_context(running(victim))
        body = PolicyCreate(kind="security", name="Table", settings=POLICY_SETTINGS).model_dump(mode="json")
        policy = (await victim.caller.call("POST", "/policies", Policy, body)).id
        assigned = {"ids": ids[len(ids) // 2 :]}
        await victim.caller.call("POST", f"/policies/{policy}/devices", AssignResults, assigned)
        reaper = Reaper(victim, rack)
        for version in versions:
            await rack.order(set=BEFORE)
            tasks = await work(victim, ids, policy, version)
            await reaped(victim, reaper, tasks)
            again = await settled(victim, rack, tasks, version)
            if again:
                retry = await victim.caller.call("POST", f"/tasks/{tasks[0]}/retry", Task, {"devices": again})
                await ended(victim, [retry.id])
                state = (await victim.caller.call("GET", f"/tasks/{retry.id}", Task)).state
                assert state == "succeeded"
            if not reaper.left:
                break
        assert not reaper.left, f"never happened: {sorted(reaper.left)}"
    print(f"{len(TABLE)} cells, {victim.kills} kills, {time.monotonic() - begun:.0f} s")
