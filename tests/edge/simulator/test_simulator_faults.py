"""What is wrong with a device, as the edge host sees it: in the right words, and gone when it is well again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

from farsite_edge.devices.credentials import Account
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator, describe
from farsite_edge.simulator.faults import Fault
from farsite_edge.simulator.models import MODELS, DeviceDescription, Kind
from farsite_edge.testing import RunningEdge, run_edge
from farsite_edge.vapix.api_discovery import GetApiList
from farsite_signaling.wire.edge_api import DeviceState

ACCOUNT = Account("root", "farsite-demo")


@asynccontextmanager
async def managed(
    folder: Path, *described: DeviceDescription, https: bool = True
) -> AsyncIterator[tuple[RunningEdge, list[SimulatedDevice]]]:
    """The first device is managed, the others are only there."""
    options = {"poll_interval": 3600, "discovery_interval": 3600, "log_in_interval": 0, "device_timeout": 1.5}
    async with Simulator(described, https=https) as simulator, run_edge(folder, **options) as edge:
        device = simulator.devices[0]
        found = FoundDevice(device.serial, device.address, device.http_port, device.https_port)
        await edge.host.registry.found([found])
        await edge.host.manager.add([device.serial])
        [result] = await edge.host.manager.log_in([device.serial], ACCOUNT)
        assert result.ok, result
        yield edge, simulator.devices


async def looked(edge: RunningEdge, device: SimulatedDevice) -> DeviceRecord:
    return await edge.host.manager.looks.check(device.serial, refresh=True)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.HANG, "in time"),
        (Fault.LOGIN_LOOP, "asks for an account"),
        (Fault.REDIRECT, "redirection"),
        (Fault.GARBAGE, ""),
        (Fault.ENDLESS, "KiB|in time"),
    ],
)
async def test_answers_that_are_none(fault: Fault, words: str, tmp_path: Path) -> None:
    """Said of the device in bounded time; no password is tried again, and all is well when the device is."""
    async with managed(tmp_path, *describe(1, ["P3265-V"])) as (edge, [device]):
        device.fault = fault
        record = await looked(edge, device)
        assert record.last_error is not None and re.search(words, record.last_error), record.last_error
        assert device.failed_logins == 0
        device.fault = Fault.NONE
        record = await looked(edge, device)
        assert (record.state, record.last_error) == (DeviceState.REACHABLE, None)


async def test_another_certificate(tmp_path: Path) -> None:
    async with managed(tmp_path, *describe(1, ["P3265-V"])) as (edge, [device]):
        before = edge.host.registry.get(device.serial).pin
        device.change_certificate()
        record = await looked(edge, device)
        assert record.state is DeviceState.CERTIFICATE_CHANGED
        assert (record.pin, record.shown_pin is None) == (before, False)
        assert record.shown_pin is not None
        accepted = await edge.host.manager.accept_certificate(device.serial, record.shown_pin)
        assert (accepted.state, accepted.pin) == (DeviceState.REACHABLE, record.shown_pin)


@pytest.mark.parametrize(
    ("https", "state"), [(False, DeviceState.UNREACHABLE), (True, DeviceState.CERTIFICATE_CHANGED)]
)
async def test_an_address_given_twice(https: bool, state: DeviceState, tmp_path: Path) -> None:
    """The other device hears no password, and what it is is not taken for the one that is managed."""
    async with managed(tmp_path, *describe(2, ["P3265-V"]), https=https) as (edge, [device, other]):
        device.impostor = other
        record = await looked(edge, device)
        assert record.state is state, record.last_error
        assert (other.failed_logins, device.failed_logins) == (0, 0)
        if not https:
            assert other.serial in (record.last_error or "")
        device.impostor = None
        assert (await looked(edge, device)).state is DeviceState.REACHABLE


@pytest.mark.parametrize("days", [-3650, 3650])
async def test_a_wrong_clock(days: int, tmp_path: Path) -> None:
    """Certificates that are not valid yet, or will be: the pin says who it is."""
    described = replace(describe(1, ["P3265-V"])[0], clock_offset=86400.0 * days)
    async with managed(tmp_path, described) as (edge, [device]):
        assert (await looked(edge, device)).state is DeviceState.REACHABLE
        assert await edge.host.manager.parameters(device.serial, ["Brand.Brand"]) == {"Brand.Brand": "AXIS"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{device.address}:{device.http_port}/") as answer,
        ):
            away = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
        assert abs(away - timedelta(days=days)) < timedelta(minutes=1)


async def test_power_lost_before_an_upgrade_is_committed(tmp_path: Path) -> None:
    described = replace(describe(1, ["P3265-V"])[0], boot_seconds=0.1)
    async with managed(tmp_path, described) as (edge, [device]):
        device.firmware.inactive, device.firmware.active, device.firmware.committed = (
            "12.9.57",
            "12.10.1",
            False,
        )
        device.firmware.settings = (device.parameters.copy(), device.accounts.copy())
        device.lose_power()
        assert device.version == "12.9.57" and device.firmware.committed
        while (record := await looked(edge, device)).state is not DeviceState.REACHABLE:
            assert record.state is DeviceState.UNREACHABLE
        assert record.version == "12.9.57"


async def test_models_differ_in_what_they_offer(tmp_path: Path) -> None:
    """Read from the device, never from its name."""
    assert len(MODELS) >= 15 and {model.kind for model in MODELS.values()} == set(Kind)
    assert {model.generation for model in MODELS.values()} == {"5.51", "8.45", "9.80", "10.12", "11.11", "12"}
    wanted = ["D4200-VE", "D6210", "P3265-V"]
    async with Simulator(describe(3, wanted), https=False) as simulator:
        offered = {}
        for device in simulator.devices:
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    f"http://{device.address}:{device.http_port}{GetApiList.path}",
                    json={"apiVersion": "1.0", "method": "getApiList"},
                ) as answer,
            ):
                offered[device.model.kind] = {one["id"] for one in (await answer.json())["data"]["apiList"]}
    assert "siren-and-light" in offered[Kind.SIREN] and "stream-profiles" not in offered[Kind.SIREN]
    assert "air-quality-sensor" in offered[Kind.AIR_QUALITY]
    assert "stream-profiles" in offered[Kind.CAMERA]


async def test_devices_of_a_model_share_what_they_have_in_common() -> None:
    one, other = describe(2, ["P3245-LVE"])
    async with Simulator([one, other], https=False) as simulator:
        first, second = simulator.devices
        first.parameters["Network.SSH.Enabled"] = "yes"
        kept = first.parameters.copy()
        first.parameters["Network.SSH.Enabled"] = "no"
        assert kept["Network.SSH.Enabled"] == "yes"
        assert second.parameters["Network.SSH.Enabled"] == "no"
        assert first.parameters["Properties.System.SerialNumber"] == first.serial != second.serial
        assert second.parameters["System.BoaPort"] == str(second.http_port)
