"""The edge host and simulated devices: HTTPS with its pin end to end, and log-ins counted on the device."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from farsite_edge.admin.caller import AdminCaller
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import Simulator
from farsite_edge.simulator.device import SimulatedDevice
from farsite_edge.simulator.models import describe
from farsite_edge.testing import RunningEdge, run_edge
from farsite_edge.vapix.pin import pin_of
from farsite_signaling.wire.edge_api import (
    AuditList,
    ClaimRequest,
    DeviceList,
    DeviceResults,
    DeviceState,
    DiscoverRequest,
    Settings,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import DeviceTarget
from tests.edge.conftest import GOOD, SmallCloud
from tests.edge.test_edge_remote import tunnels

RIGHT, WRONG = Account("root", "farsite-demo"), Account("root", "wrong-canary")


@asynccontextmanager
async def site(
    folder: Path, model: str, *, https: bool
) -> AsyncIterator[tuple[RunningEdge, SimulatedDevice]]:
    async with (
        Simulator(describe(1, [model]), https=https, multicast=False) as simulator,
        run_edge(folder, poll_interval=3600, discovery_interval=3600, log_in_interval=0) as edge,
    ):
        device = simulator.devices[0]
        ports = [port for port in (device.http_port, device.https_port) if port]
        request = DiscoverRequest(multicast=False, targets=["127.0.0.1"], ports=ports, timeout=5)
        await edge.host.finder.find(request)
        await edge.host.manager.add([device.serial])
        yield edge, device


@pytest.mark.parametrize("https", [True, False])
@pytest.mark.parametrize("model", ["P3265-V", "P3245-LVE", "M1065-LW"])
async def test_a_wrong_password_is_tried_once(model: str, https: bool, tmp_path: Path) -> None:
    """Not again by polling, by a look at its parameters, by the same user soon after, or after a restart."""
    async with site(tmp_path, model, https=https) as (edge, device):
        manager = edge.host.manager
        [result] = await manager.log_in([device.serial], WRONG)
        assert (result.code, device.gate.refusals) == (ErrorCode.DEVICE_CREDENTIALS, 1)
        assert "canary" not in str(result)
        for _ in range(3):
            await edge.host.monitor.round()
        with pytest.raises(FarsiteError):
            await manager.parameters(device.serial, ["Brand"])
        [again] = await manager.log_in([device.serial], WRONG)
        assert (again.code, device.gate.refusals) == (ErrorCode.RATE_LIMITED, 1)
        [good] = await manager.log_in([device.serial], RIGHT)
        assert (good.state, device.gate.refusals) == (DeviceState.REACHABLE, 1)


async def test_a_password_that_was_changed_is_tried_once_even_over_a_restart(tmp_path: Path) -> None:
    async with Simulator(describe(1, ["P3265-V"]), multicast=False) as simulator:
        device = simulator.devices[0]
        options = {"poll_interval": 3600, "discovery_interval": 3600, "refresh_interval": 0.001}
        async with run_edge(tmp_path, **options) as edge:
            ports = [device.http_port, device.https_port]
            request = DiscoverRequest(multicast=False, targets=["127.0.0.1"], ports=ports, timeout=5)
            await edge.host.finder.find(request)
            await edge.host.manager.add([device.serial])
            await edge.host.manager.log_in([device.serial], RIGHT)
            await edge.host.monitor.round()
            assert (edge.host.registry.get(device.serial).state, device.gate.refusals) == ("reachable", 0)
            device.accounts.get("root").password = "another"
            for _ in range(3):
                await edge.host.monitor.round()
            assert edge.host.registry.get(device.serial).state is DeviceState.CREDENTIALS_REQUIRED
            assert device.gate.refusals == 1
        async with run_edge(tmp_path, **options) as edge:
            for _ in range(3):
                await edge.host.monitor.round()
            with pytest.raises(FarsiteError):
                await edge.host.manager.snapshot(device.serial)
        assert device.gate.refusals == 1


async def test_https_is_used_and_pinned_and_a_stream_goes_through(
    small_cloud: SmallCloud, tmp_path: Path
) -> None:
    async with site(tmp_path, "P3265-V", https=True) as (edge, device):
        await edge.claim(small_cloud.url, GOOD)
        [result] = await edge.host.manager.log_in([device.serial], RIGHT)
        assert result.ok, result
        record = edge.host.registry.get(device.serial)
        assert record.https_port == device.https_port
        assert record.pin == await certificate(device)
        assert "Brand.Brand" in await edge.host.manager.parameters(device.serial, ["Brand"])
        grant = small_cloud.grant(small_cloud.client())
        secure = DeviceTarget(device=device.serial, service="https")
        async with tunnels(edge, grant) as tunnel:
            reader, writer = await tunnel.open_stream(secure)
            writer.write(b"GET / HTTP/1.1\r\nHost: camera\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 ")
            writer.close()
            await change_certificate(device)
            await edge.host.monitor.round()
            assert edge.host.registry.get(device.serial).state is DeviceState.CERTIFICATE_CHANGED
            for target in (secure, DeviceTarget(device=device.serial, service="http")):
                with pytest.raises(FarsiteError) as caught:
                    await tunnel.open_stream(target)
                assert caught.value.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED
            with pytest.raises(FarsiteError) as caught:
                await edge.host.manager.parameters(device.serial, ["Brand"])
            assert caught.value.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED
        # What the message says to do helps.
        await edge.host.manager.remove([device.serial])
        await edge.host.manager.add([device.serial])
        [result] = await edge.host.manager.log_in([device.serial], RIGHT)
        assert result.ok, result


async def certificate(device: SimulatedDevice) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(device.address, device.https_port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return pin_of(der)


async def change_certificate(device: SimulatedDevice) -> None:
    await device.stop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("other").configure_cert(context)
    device._tls = context
    await device.start()


def found(address: str = "10.0.0.9", http: int | None = 80, https: int | None = None) -> FoundDevice:
    return FoundDevice("ACCC8E000009", address, http, https)


async def test_a_secure_port_once_known_is_used(tmp_path: Path) -> None:
    """mDNS tells it, a probe of the HTTP port does not; an address given up takes its ports along."""
    async with run_edge(tmp_path, discovery_interval=3600, poll_interval=3600) as edge:
        registry = edge.host.registry
        await registry.found([found(https=443)])
        [record] = await registry.found([found(http=8080)])
        assert (record.http_port, record.https_port) == (8080, 443)
        [record] = await registry.found([found("10.0.0.10")])
        assert (record.http_port, record.https_port) == (80, None)
        await registry.manage(record.id)
        [record] = await registry.found([found("10.0.0.66", https=666)])
        assert (record.address, record.https_port) == ("10.0.0.10", None)
        [record] = await registry.found([found("10.0.0.10", https=443)])
        assert record.https_port == 443
        [record] = await registry.found([found("10.0.0.10", https=666)])
        assert record.https_port == 443


async def test_the_port_that_mdns_tells(tmp_path: Path) -> None:
    options = {"poll_interval": 3600, "discovery_interval": 3600, "discovery_interfaces": ["127.0.0.1"]}
    async with (
        Simulator(describe(1, ["P3265-V"]), multicast=True, interfaces=["127.0.0.1"]) as simulator,
        run_edge(tmp_path, **options) as edge,
    ):
        device = simulator.devices[0]
        assert simulator.problems == []
        async with asyncio.timeout(20):
            while not (await edge.host.finder.find(DiscoverRequest(multicast=True, timeout=2))).devices:
                pass
        [result] = await edge.host.manager.add([device.serial])
        assert result.ok
        assert edge.host.registry.get(device.serial).https_port == device.https_port
        [result] = await edge.host.manager.log_in([device.serial], RIGHT)
        assert result.ok
        assert edge.host.registry.get(device.serial).pin == await certificate(device)


async def test_no_secret_is_told_or_kept_in_clear(
    small_cloud: SmallCloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Device password, setup code, proxy password, grant: not in logs, files, the audit log or answers."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="aiosqlite")  # as the edge host's own logging has it
    described = describe(1, ["P3245-LVE"], password="canary-device")
    async with (
        Simulator(described, https=False, multicast=False) as simulator,
        run_edge(tmp_path / "edge", poll_interval=3600, discovery_interval=3600) as edge,
    ):
        device = simulator.devices[0]
        claim = {"cloud_url": small_cloud.url, "code": "canary-code"}
        with pytest.raises(FarsiteError):
            await edge.host.claim(ClaimRequest.model_validate(claim))
        await edge.claim(small_cloud.url, GOOD)
        request = DiscoverRequest(multicast=False, targets=["127.0.0.1"], ports=[device.http_port], timeout=5)
        await edge.host.finder.find(request)
        folder = edge.host.settings.data_dir
        caller = AdminCaller(folder)
        ids = {"ids": [device.serial]}
        told = [await caller.call("POST", "/devices", DeviceResults, ids)]
        for password in ("canary-wrong", "canary-device"):
            body = {**ids, "username": "root", "password": password}
            told.append(await caller.call("POST", "/devices/log-in", DeviceResults, body))
        assert told[-1].results[0].ok or told[-1].results[0].code == "rate_limited"
        change = {"proxy_address": "http://me:canary-proxy@127.0.0.1:9"}
        told.append(await caller.call("PATCH", "/settings", Settings, change))
        told.append(await caller.call("GET", "/audit", AuditList))
        told.append(await caller.call("GET", "/devices", DeviceList))
        with pytest.raises(FarsiteError) as caught:
            await caller.call("POST", "/devices/log-in", DeviceResults, {"password": "canary-x", "ids": 1})
        written = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    assert "canary" not in caplog.text
    assert "canary" not in "".join(answer.model_dump_json() for answer in told)
    assert "canary" not in caught.value.problem().model_dump_json()
    assert b"canary" not in written
