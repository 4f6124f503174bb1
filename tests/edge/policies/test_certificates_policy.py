"""HTTPS certificates on simulated devices, signed by a small cloud."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from farsite_edge.policies.record import PolicyRecord
from farsite_edge.simulator import SimulatedDevice
from farsite_edge.simulator.certificates import OWN, choose
from farsite_signaling.identity import OrganizationTrust
from farsite_signaling.wire.edge_api import ClaimRequest, DeviceState
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyState
from tests.edge.conftest import GOOD, SmallCloud
from tests.edge.policies.conftest import Rig, rig_of
from tests.edge.policies.test_policy_crashes import MOMENTS, Moment, hit


@pytest.fixture
async def cloud() -> AsyncIterator[SmallCloud]:
    made = SmallCloud()
    async with TestServer(made.app()) as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made


async def claimed(rig: Rig, cloud: SmallCloud) -> None:
    await rig.edge.host.claim(ClaimRequest(cloud_url=cloud.url, code=GOOD))


@pytest.fixture
async def rig(tmp_path: Path, cloud: SmallCloud) -> AsyncIterator[Rig]:
    async with rig_of(tmp_path, "P3265-V", https=True) as made:
        await claimed(made, cloud)
        yield made


async def shown(device: SimulatedDevice) -> x509.Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(device.address, device.https_port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(der)


async def certified(rig: Rig, **settings: object) -> PolicyRecord:
    return await rig.policy({"days": 365, **settings}, kind="certificates")


def record(rig: Rig):
    return rig.edge.host.registry.get(rig.device.serial)


async def test_a_device_gets_its_certificate(rig: Rig, cloud: SmallCloud) -> None:
    before = record(rig).pin
    policy = await certified(rig)
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    certificate = await shown(rig.device)
    certificate.verify_directly_issued_by(cloud.ca.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"axis-{rig.device.serial.lower()}.local" in names.get_values_for_type(x509.DNSName)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    now = record(rig)
    assert now.pin != before and now.next_pin is None and now.state is DeviceState.REACHABLE
    assert rig.result(policy).state is PolicyState.APPLIED
    await rig.run(policy)
    assert len(cloud.device_requests) == 1


async def test_it_is_no_certificate_of_a_peer(rig: Rig, cloud: SmallCloud) -> None:
    await rig.run(await certified(rig))
    pem = rig.device.certificates.stored[rig.device.certificates.bound].certificate
    with pytest.raises(FarsiteError) as caught:
        OrganizationTrust(cloud.ca.pem).verify(pem)
    assert caught.value.code is ErrorCode.CERTIFICATE_INVALID


async def test_renewed_in_time_and_the_old_one_removed(rig: Rig, cloud: SmallCloud) -> None:
    cloud.device_age = timedelta(days=250)
    policy = await certified(rig)
    await rig.run(policy)
    old = rig.device.certificates.bound
    assert old != OWN
    cloud.device_age = timedelta()
    task, row = await rig.run(policy)
    assert task.state is TaskState.SUCCEEDED, row.detail
    store = rig.device.certificates
    assert store.bound != old and set(store.stored) == {OWN, store.bound}
    assert (await shown(rig.device)).not_valid_before_utc > datetime.now(UTC) - timedelta(days=1)


async def test_while_the_cloud_is_away_it_waits(rig: Rig, cloud: SmallCloud) -> None:
    cloud.refuse_devices = True
    policy = await certified(rig)
    task, _ = await rig.run(policy)
    assert task.state is TaskState.FAILED
    assert rig.result(policy).state is PolicyState.PENDING
    assert rig.result(policy).code == ErrorCode.CLOUD_UNREACHABLE
    assert rig.device.certificates.bound == OWN
    cloud.refuse_devices = False
    assert (await rig.run(policy))[0].state is TaskState.SUCCEEDED
    assert record(rig).state is DeviceState.REACHABLE


async def test_unclaimed(tmp_path: Path) -> None:
    async with rig_of(tmp_path, "P3265-V", https=True) as rig:
        policy = await certified(rig)
        await rig.run(policy)
        assert "not claimed" in rig.setting(policy, "certificate").detail


async def test_firmware_without(tmp_path: Path, cloud: SmallCloud) -> None:
    async with rig_of(tmp_path, "M3024-L", https=True) as rig:
        await claimed(rig, cloud)
        policy = await certified(rig)
        await rig.run(policy)
        found = rig.setting(policy, "certificate")
        assert found.state is PolicyState.NOT_SUPPORTED and "GetCertificates" in found.detail


async def test_a_device_that_does_not_show_it(rig: Rig) -> None:
    rig.device.certificates.deaf = True
    before = record(rig).pin
    policy = await certified(rig)
    task, _ = await rig.run(policy)
    assert task.state is TaskState.FAILED
    assert "another certificate" in rig.setting(policy, "certificate").detail
    now = record(rig)
    assert now.pin == before and now.next_pin is None and now.state is DeviceState.REACHABLE
    assert rig.device.certificates.bound == OWN


async def test_a_third_certificate_is_still_a_changed_one(rig: Rig) -> None:
    await rig.run(await certified(rig))
    rig.device.certificates.create("stranger", "x", rig.device.address, datetime.now(UTC))
    choose(rig.device, "stranger")
    await rig.edge.host.registry.update(rig.device.serial, next_pin="0" * 64)
    await rig.edge.host.manager.looks.check(rig.device.serial, refresh=True)
    assert record(rig).state is DeviceState.CERTIFICATE_CHANGED


@pytest.mark.parametrize("fault", ["killed", "power"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("state", "number"), [("apply", 1), ("verify", 1), ("apply", 2), ("verify", 2), ("look", 1)]
)
async def test_crashes(rig: Rig, cloud: SmallCloud, state: str, number: int, moment: str, fault: str) -> None:
    """The first step makes the certificate, the second one shows it."""
    policy = await certified(rig)
    at = Moment(rig, state, moment, number)
    task = await rig.begin(policy)
    await hit(rig, at, fault)
    done = await rig.finished(task)
    assert done.state is TaskState.SUCCEEDED, (await rig.row(task)).detail
    (await shown(rig.device)).verify_directly_issued_by(cloud.ca.certificate)
    now = record(rig)
    assert now.state is DeviceState.REACHABLE and now.next_pin is None
    assert len(rig.device.certificates.stored) == 2
