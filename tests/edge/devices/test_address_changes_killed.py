"""Killed in every state of a change of addresses, of either family: after the restart the device is where it should be,
or has what it had, and the edge host knows where."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.testing import run_edge
from farsite_signaling.wire.assign_api import AssignPlan
from farsite_signaling.wire.edge_tasks import TaskState
from tests.edge.devices.conftest import FAST, Site, site_of

ADDRESS6 = "fd00:49::20/64"
PLACE = {"bind": "127.0.49.3", "https": False}
ROWS: dict[str, dict[str, str]] = {"": {"address": "127.0.49.84/24"}, "_ipv6": {"ipv6": ADDRESS6}}


@pytest.mark.parametrize("family", list(ROWS))
@pytest.mark.parametrize("state", ["set", "wait", "roll_back"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed(family: str, state: str, when: str, tmp_path: Path) -> None:
    fails = state == "roll_back"
    seconds = 0.4 if fails else 15
    async with site_of(tmp_path, address_change_timeout=seconds, **PLACE) as site:
        await site.manage()
        device, host = site.devices[0], site.edge.host
        old = device.address
        if fails:
            device.network.deaf = True
            device.parameters.faults.ignores.add("Network.IPv6.IPAddress")
        crashed = _kill_at(site, f"{state}{family}", when)
        made = await site.caller.call(
            "POST", "/devices/assignments", AssignPlan, {"rows": [{"device": device.serial} | ROWS[family]]}
        )
        assert made.task is not None, made.rows
        async with asyncio.timeout(30):
            await crashed.wait()
        await host.__aexit__(None, None, None)
        settings = FAST | {"address_change_timeout": seconds}
        async with run_edge(tmp_path, **settings) as edge:
            done = await Site(edge, site.simulator).finished(made.task.id)
            record = edge.host.registry.get(device.serial)
        said = done.devices[0].detail
        assert (done.state is TaskState.FAILED) == fails, said
        assert record.address == device.address, said
        moved = not fails and not family
        assert device.address == ("127.0.49.84" if moved else old), said
        given = device.parameters["Network.IPv6.IPAddress"]
        assert given == (ADDRESS6 if family and not fails else ""), said


def _kill_at(site: Site, name: str, when: str) -> asyncio.Event:
    """As kill -9: not a byte reaches the store after it."""
    host, crashed = site.edge.host, asyncio.Event()
    written = host.tasks.store.checkpoint

    async def kill() -> None:
        await host.core.database.close()
        crashed.set()
        await asyncio.Event().wait()

    async def checkpoint(row: Any, memory: dict[str, Any], step: str, detail: str) -> None:
        if step == name and when == "before":
            await kill()
        await written(row, memory, step, detail)
        if step == name and when == "after":
            await kill()

    host.tasks.store.checkpoint = checkpoint  # type: ignore[method-assign]
    return crashed
