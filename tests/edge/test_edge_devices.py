"""Devices: adding, logging in without being locked out, reading and changing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farsite_edge.devices.addresses import AddressRule, own_addresses
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_api import DeviceState, DiscoverRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from tests.edge.conftest import FakeDevice, FakeSite

RIGHT, WRONG = Account("root", "right"), Account("root", "canary-wrong")
ONE = "ACCC8E000001"


@pytest.fixture
def camera() -> FakeDevice:
    return FakeDevice(ONE)


@pytest.fixture
async def edge(camera: FakeDevice, tmp_path: Path) -> AsyncIterator[RunningEdge]:
    site = FakeSite(
        camera, FakeDevice("ACCC8E000002", reachable=False), FakeDevice("ACCC8E000003", setup=True)
    )
    async with run_edge(tmp_path, gateway=site.gateway(), poll_interval=3600, log_in_interval=3600) as edge:
        await edge.host.finder.find(DiscoverRequest(multicast=False))
        yield edge


def state(edge: RunningEdge, device: str = ONE) -> DeviceState:
    return edge.host.registry.get(device).state


async def test_add_log_in_and_remove(edge: RunningEdge, camera: FakeDevice, tmp_path: Path) -> None:
    manager = edge.host.manager
    results = await manager.add([ONE, "ACCC8E000099"])
    assert [(result.ok, result.code) for result in results] == [(True, None), (False, "device_unknown")]
    assert (await manager.log_in([ONE], RIGHT))[0].state is DeviceState.REACHABLE
    assert edge.host.registry.get(ONE).version == "11.11.1"
    assert b"right" not in (tmp_path / "edge.db-wal").read_bytes()
    assert (await manager.remove([ONE]))[0].state is DeviceState.DISCOVERED
    with pytest.raises(FarsiteError) as caught:
        await manager.parameters(ONE, ["Brand"])
    assert caught.value.code is ErrorCode.DEVICE_UNKNOWN


async def test_a_wrong_password_is_tried_once(edge: RunningEdge, camera: FakeDevice) -> None:
    manager = edge.host.manager
    await manager.add([ONE])
    first = (await manager.log_in([ONE], WRONG))[0]
    assert first.code == ErrorCode.DEVICE_CREDENTIALS
    assert state(edge) is DeviceState.CREDENTIALS_REQUIRED
    assert camera.log_ins == 1
    again = (await manager.log_in([ONE], WRONG))[0]
    assert again.code == ErrorCode.RATE_LIMITED
    for _ in range(3):
        await edge.host.monitor.round()
    assert camera.log_ins == 1


async def test_a_wrong_log_in_leaves_credentials_that_work(edge: RunningEdge, camera: FakeDevice) -> None:
    manager = edge.host.manager
    await manager.add([ONE])
    await manager.log_in([ONE], RIGHT)
    assert (await manager.log_in([ONE], WRONG))[0].code == ErrorCode.DEVICE_CREDENTIALS
    assert state(edge) is DeviceState.REACHABLE
    camera.values["Network.Name"] = "dock"
    assert await manager.parameters(ONE, ["Network.Name"]) == {"Network.Name": "dock"}


async def test_a_password_changed_at_the_device_is_asked_for_once(
    edge: RunningEdge, camera: FakeDevice
) -> None:
    await edge.host.manager.add([ONE])
    await edge.host.manager.log_in([ONE], RIGHT)
    camera.password = "other"
    before = camera.log_ins
    with pytest.raises(FarsiteError) as caught:
        await edge.host.manager.parameters(ONE, ["Brand"])
    assert caught.value.code is ErrorCode.DEVICE_CREDENTIALS
    for _ in range(3):
        await edge.host.monitor.round()
        with pytest.raises(FarsiteError):
            await edge.host.manager.snapshot(ONE)
    assert camera.log_ins == before + 1
    assert state(edge) is DeviceState.CREDENTIALS_REQUIRED


async def test_a_change_is_read_back(edge: RunningEdge, camera: FakeDevice) -> None:
    manager = edge.host.manager
    await manager.add([ONE])
    await manager.log_in([ONE], RIGHT)
    assert await manager.change_parameters(ONE, {"root.Network.Name": "b"}) == {"Network.Name": "b"}
    assert camera.values["Network.Name"] == "b"
    camera.deaf = True
    with pytest.raises(FarsiteError) as caught:
        await manager.change_parameters(ONE, {"Network.Name": "c"})
    assert caught.value.code is ErrorCode.DEVICE_ANSWER
    assert "Network.Name" in caught.value.detail


async def test_set_up_and_states(edge: RunningEdge) -> None:
    manager, ids = edge.host.manager, ["ACCC8E000002", "ACCC8E000003"]
    await manager.add(ids)
    assert state(edge, ids[1]) is DeviceState.SETUP_REQUIRED
    await edge.host.monitor.round()
    assert state(edge, ids[0]) is DeviceState.UNREACHABLE
    refused = (await manager.log_in([ids[1]], RIGHT))[0]
    assert refused.code == ErrorCode.DEVICE_SETUP_REQUIRED
    assert (await manager.set_up([ids[1]], Account("root", "new")))[0].state is DeviceState.REACHABLE
    assert (await manager.set_up([ids[1]], RIGHT))[0].code == ErrorCode.CONFLICT


async def test_devices_survive_a_restart(camera: FakeDevice, tmp_path: Path) -> None:
    site = FakeSite(camera)
    async with run_edge(tmp_path, gateway=site.gateway()) as edge:
        await edge.host.finder.find(DiscoverRequest(multicast=False))
        await edge.host.manager.add([ONE])
        await edge.host.manager.log_in([ONE], RIGHT)
    async with run_edge(tmp_path, gateway=FakeSite(camera).gateway()) as edge:
        assert edge.host.registry.get(ONE).managed
        assert (await edge.host.manager.parameters(ONE, ["Brand"]))["Brand.ProdNbr"] == "P1"


async def test_answers_are_merged_by_serial(edge: RunningEdge) -> None:
    registry = edge.host.registry
    await registry.found([FoundDevice("ACCC8E0000AA", "192.168.0.7", 80, by=("ssdp",))])
    await registry.found([FoundDevice("ACCC8E0000AA", "169.254.3.4", 80, by=("mdns",), model="M\x00\x1b1")])
    record = registry.get("ACCC8E0000AA")
    assert record.address == "192.168.0.7"
    assert record.addresses == ["192.168.0.7"]
    assert record.found_by == ["mdns", "ssdp"]
    assert record.model == "M1"
    await registry.manage("ACCC8E0000AA")
    await registry.found([FoundDevice("ACCC8E0000AA", "192.168.0.66", 81)])
    assert (registry.get("ACCC8E0000AA").address, registry.get("ACCC8E0000AA").http_port) == (
        "192.168.0.7",
        80,
    )
    assert await registry.found([FoundDevice("../../etc", "192.168.0.9", 80)]) == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "239.1.1.1",
        "255.255.255.255",
        "x",
    ],
)
def test_addresses_no_device_has(address: str) -> None:
    with pytest.raises(FarsiteError) as caught:
        AddressRule(allow_own=False).check(address, 80)
    assert caught.value.code is ErrorCode.FORBIDDEN


def test_own_addresses() -> None:
    AddressRule(allow_own=False).check("192.0.2.5", 80)
    for own in own_addresses():
        with pytest.raises(FarsiteError):
            AddressRule(allow_own=False).check(str(own), 80)
    rule = AddressRule(allow_own=True, own_ports=[37443])
    rule.check("127.0.0.1", 8080)
    with pytest.raises(FarsiteError):
        rule.check("127.0.0.1", 37443)
    with pytest.raises(FarsiteError):
        rule.check("169.254.169.254", 80)
