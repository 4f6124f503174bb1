"""The time policy on simulated devices of old and new firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farsite_edge.policies.clock.settings import posix_zone, validated
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.policy_api import PolicyState
from tests.edge.policies.conftest import Rig, rig_of
from tests.edge.policies.test_policy_crashes import MOMENTS, Moment, hit

STOCKHOLM = "Europe/Stockholm"
POSIX = "CET-1CEST,M3.5.0,M10.5.0/3"


async def test_servers_and_zone(rig: Rig) -> None:
    policy = await rig.policy({"servers": ["10.0.0.1", "ntp.example"], "time_zone": STOCKHOLM}, kind="time")
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert rig.device.clock.servers == ["10.0.0.1", "ntp.example"] and rig.device.clock.zone == STOCKHOLM
    assert rig.setting(policy, "servers").state is PolicyState.APPLIED
    assert "not synchronized" in rig.setting(policy, "servers").detail
    rig.device.clock.zone = "UTC"
    await rig.run(policy)
    assert rig.device.clock.zone == STOCKHOLM


async def test_a_wrong_clock_is_a_finding(rig: Rig) -> None:
    rig.device.clock.offset = -400
    policy = await rig.policy({"servers": ["dhcp"]}, kind="time")
    task, _ = await rig.run(policy)
    one = rig.setting(policy, "clock")
    assert task.state is TaskState.FAILED and one.state is PolicyState.FAILED
    assert "400 s behind" in one.detail and one.found == "-400 s" and "No time server" in one.detail
    assert rig.device.clock.offset == -400


async def test_a_wrong_clock_is_set(rig: Rig) -> None:
    rig.device.clock.offset = 86400
    policy = await rig.policy({"max_offset": 5, "set_clock": True}, kind="time")
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    assert abs(rig.device.clock.offset) < 2


async def test_zones_without_names(rig: Rig) -> None:
    rig.device.clock.iana = False
    policy = await rig.policy({"time_zone": STOCKHOLM}, kind="time")
    assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
    assert rig.device.clock.posix == POSIX


@pytest.mark.parametrize("model", ["M1065-LW", "M3024-L"])
async def test_older_firmware(tmp_path: Path, model: str) -> None:
    async with rig_of(tmp_path, model) as made:
        settings = {"servers": ["10.0.0.1"], "time_zone": STOCKHOLM}
        policy = await made.policy(settings, kind="time")
        task, row = await made.run(policy)
        assert task.state is TaskState.SUCCEEDED, row.detail
        device = made.device
        if "time-service" in {name for name, _ in device.model.quirks.apis}:
            assert device.clock.servers == ["10.0.0.1"]
        else:
            assert device.parameters["Time.NTP.Server"] == "10.0.0.1"
            assert device.parameters["Time.POSIXTimeZone"] == POSIX
            assert made.setting(policy, "clock").state is PolicyState.NOT_SUPPORTED


@pytest.mark.parametrize("fault", ["killed", "power"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", ["apply", "verify"])
async def test_crashes(rig: Rig, state: str, moment: str, fault: str) -> None:
    policy = await rig.policy({"servers": ["10.0.0.1"]}, kind="time")
    at = Moment(rig, state, moment)
    task = await rig.begin(policy)
    await hit(rig, at, fault)
    assert (await rig.finished(task)).state is TaskState.SUCCEEDED
    assert rig.device.clock.servers == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"servers": ["dhcp", "10.0.0.1"]}, "not both"),
        ({"servers": ["10.0.0.1"] * 2}, "twice"),
        ({"servers": ["10.0.0.999"]}, "neither an address"),
        ({"servers": ["a; reboot"]}, "neither an address"),
        ({"servers": []}, "servers"),
        ({"time_zone": "Mars/Olympus"}, "Europe/Stockholm"),
        ({"time_zone": "../../etc/passwd"}, "Europe/Stockholm"),
        ({"max_offset": 0}, "max_offset"),
        ({"max_offset": None}, "nothing"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FarsiteError, match=said):
        validated(settings)


def test_rules_of_zones() -> None:
    assert posix_zone(STOCKHOLM) == POSIX
    assert posix_zone("UTC").startswith("UTC")
