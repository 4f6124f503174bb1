"""The command line beside an edge host, while there is neither cloud nor sign-in."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from farsite_client.here import data_folder, open_here
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

NAME = "Depot"


@pytest.fixture
async def device() -> AsyncIterator[SimulatedDevice]:
    async with Simulator(describe(1, ["P3265-V"])) as simulator:
        yield simulator.devices[0]


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[RunningEdge]:
    quick = {"poll_interval": 3600, "discovery_interval": 3600, "log_in_interval": 0.05}
    async with run_edge(tmp_path / "edge", name=NAME, **quick) as running:
        yield running


async def farsite(folder: Path, *words: str, said: str = "") -> tuple[int, Any]:
    """The exit code, and the last JSON value."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farsite_client", "--json", "--home", str(folder / "home"), *words),
        env=kept | {"FARSITE_EDGE_DATA_DIR": str(folder / "edge")},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(said.encode())
    return process.returncode or 0, json.loads(out.splitlines()[-1])


async def test_devices_are_looked_after_without_a_cloud(
    edge: RunningEdge, device: SimulatedDevice, tmp_path: Path
) -> None:
    await edge.host.registry.found([FoundDevice(device.serial, device.address, device.http_port)])
    await edge.host.manager.add([device.serial])
    words = ("device", "try-log-ins", NAME, device.serial, "--wait", "--lan", str(tmp_path / "edge"))
    code, task = await farsite(tmp_path, *words, said=f"{device.username}:{device.password}\n")
    assert (code, task["state"]) == (0, "succeeded")
    code, listed = await farsite(tmp_path, "devices", NAME, "--managed", "--lan", "here")
    assert (code, listed[0]["state"]) == (0, "reachable")


async def test_another_edge_host_is_not_touched(edge: RunningEdge, tmp_path: Path) -> None:
    async with open_here(tmp_path / "edge", NAME.lower()) as client:
        assert (await client.info()).name == NAME
    with pytest.raises(FarsiteError, match=NAME) as caught:
        async with open_here(tmp_path / "edge", "Shop"):
            raise AssertionError("it is not the one meant")
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_where_none_runs(tmp_path: Path) -> None:
    with pytest.raises(FarsiteError, match="No edge host runs") as caught:
        async with open_here(tmp_path, NAME):
            raise AssertionError("there is none")
    assert caught.value.code is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize(
    "place", ["192.168.1.20", "192.168.1.20:27080", "fd00::5", "[fd00::5]:27080", "site.lan"]
)
def test_addresses_are_no_folders(place: str) -> None:
    assert data_folder(place) is None
