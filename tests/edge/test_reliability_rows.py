"""Rows of the table of faults and attacks, each walked through as it is written, with its bar."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import tarfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farsite_edge.admin.site import SOCKET
from farsite_edge.apps.package import BadPackage, read_package
from farsite_edge.axis_os.image import BadImage, read_image
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.discovery.address_list import parse_addresses
from farsite_edge.discovery.ssdp import location_of, parse_description
from farsite_edge.discovery.targets import count
from farsite_edge.discovery.ws_discovery import matches, sightings
from farsite_edge.simulator import Simulator, describe
from farsite_edge.simulator.faults import Fault
from farsite_edge.simulator.image import make_image
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import Task, UpgradeRequest, WorkState
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import parse_hub_message
from farsite_signaling.wire.lan import parse_answer
from tests.edge.apps.packages import eap, manifest, member
from tests.edge.test_edge_command import event, start

RIGHT = Account("root", "farsite-demo")
QUIET = {"poll_interval": 3600, "discovery_interval": 3600, "log_in_interval": 0}


async def finished(edge: RunningEdge, task: str) -> Task:
    async with asyncio.timeout(60):
        while not (shown := await edge.host.tasks.shown(task)).state.finished:
            await edge.host.tasks.changed(5)
    return shown


async def test_n18_killed_it_is_back_within_five_seconds(tmp_path: Path) -> None:
    """What the kernel does when memory runs out is SIGKILL too. Its work and its files: test_edge_killed.py; full and
    read-only disks: test_edge_storage_faults.py. Measured is the start's own processor time, whatever else runs here."""
    process = await start(tmp_path, "run", "--json")
    await event(process, "ready")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    again = await start(tmp_path, "run", "--json")
    try:
        await event(again, "ready")
        used = sum(
            float(part)
            for part in Path(f"/proc/{again.pid}/stat").read_text().rsplit(") ")[-1].split()[11:13]
        )
    finally:
        again.kill()
        await again.wait()
    assert used / os.sysconf("SC_CLK_TCK") <= 5


async def test_n21_faults_of_cameras(tmp_path: Path) -> None:
    """Each device has its own: every one ends in bounded time with its reason, none touches another, a changed
    certificate is a state of its own, an upgrade that lost its power ends right or is marked failed."""
    faults = [Fault.HANG, Fault.LOGIN_LOOP, Fault.REDIRECT, Fault.GARBAGE, Fault.ENDLESS, Fault.DRIP]
    described = [
        replace(one, boot_seconds=0.3, install_seconds=0.1) for one in describe(len(faults) + 4, ["P3265-V"])
    ]
    images = tmp_path / "images"
    images.mkdir()
    make_image(images / "new.bin", ("P3265-V",), "12.10.1")
    options = {"os_poll_interval": 0.05, "os_restart_timeout": 9, "os_images": images}
    async with Simulator(described) as simulator, run_edge(tmp_path / "e", **QUIET, **options) as edge:
        devices = simulator.devices
        await edge.host.registry.found(
            [FoundDevice(one.serial, one.address, one.http_port, one.https_port) for one in devices]
        )
        await edge.host.manager.add([one.serial for one in devices])
        results = await edge.host.manager.log_in([one.serial for one in devices], RIGHT)
        assert all(one.ok for one in results)
        edge.host.manager.contact.timeout = 1.5
        for device, fault in zip(devices, faults, strict=False):
            device.fault = fault
        changed, doubled, stranger, upgraded = devices[len(faults) :]
        changed.change_certificate()
        doubled.impostor = stranger
        request = UpgradeRequest(ids=[upgraded.serial], version="12.10.1")
        task = await edge.host.os.upgrade(request, lambda _: True, actor="t", session=None, idempotency=None)
        while upgraded.version != "12.10.1":
            await edge.host.tasks.changed(0.05)
        upgraded.lose_power()
        async with asyncio.timeout(30):  # ten devices side by side, none longer than its own limit
            await edge.host.monitor.round()
        shown = {one.serial: edge.host.registry.get(one.serial) for one in devices}
        for device in devices[: len(faults)]:
            assert shown[device.serial].last_error, device.fault
            assert device.failed_logins == 0
        assert shown[changed.serial].state is DeviceState.CERTIFICATE_CHANGED
        assert shown[doubled.serial].state in (DeviceState.CERTIFICATE_CHANGED, DeviceState.UNREACHABLE)
        assert shown[stranger.serial].state is DeviceState.REACHABLE and not shown[stranger.serial].last_error
        await finished(edge, task.id)
        [row] = await edge.host.tasks.rows(task.id)
        assert upgraded.firmware.committed
        assert (row.state is WorkState.SUCCEEDED) == (upgraded.version == "12.10.1"), row.detail
        for device in devices[: len(faults)]:
            device.fault = Fault.NONE
        await edge.host.monitor.round()
        assert not any(edge.host.registry.get(one.serial).last_error for one in devices[: len(faults)])


XML = st.sampled_from(
    (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><a>&b;</a>',
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b"<a>" * 5000,
        b'<root xmlns="urn:schemas-upnp-org:device-1-0"><device><serialNumber>\x00</serialNumber></device></root>',
    )
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=2000), XML))
def test_s9_whatever_comes_from_the_network_is_read_or_refused(data: bytes) -> None:
    """SSDP, WS-Discovery, answers of discovery, signaling. mDNS is parsed by zeroconf; frames of the tunnel and answers
    of devices have the same test beside them."""
    for read in (
        lambda: location_of(data),
        lambda: parse_description(data, "10.0.0.1", 80),
        lambda: [list(sightings(one, "10.0.0.1")) for one in matches(data, {"m"})],
        lambda: parse_answer(data),
        lambda: parse_hub_message(data.decode("latin-1")),
    ):
        with suppress(FarsiteError):
            read()


def test_s9_a_csv_of_the_most_and_of_too_many_lines() -> None:
    """25,600 lines with BOM, CRLF and formulas; and what is far too much costs no more than the limit does."""
    lines = [f'"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}";' for n in range(25_600)]
    found = parse_addresses("\ufeffip;\r\n" + "\r\n".join(lines) + "\r\n=1+1\r\n10.0.0.1;=1+1\r\n")
    assert count(found.targets) == 25_600
    assert [one.line for one in found.problems] == [25_602, 25_603]
    begun = time.process_time()
    flooded = parse_addresses("10.0.0.1\n" * 3_000_000)
    assert time.process_time() - begun < 10
    assert "lines" in flooded.problems[-1].problem
    bad = parse_addresses("ip\n=cmd|' /C calc'!A0\n10.0.0.1\n\x00\n" + "x" * 100_000 + "\n10.0.0.2\n")
    assert count(bad.targets) == 2
    assert all(len(one.problem) < 500 for one in bad.problems)


SMUGGLED = (
    b"POST /api/v1/claim HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/v1/claim HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello",
    b"POST /api/v1/claim HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST /api/v1/claim HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\n"
    + b"".join(b"X%d: a\r\n" % n for n in range(20_000))
    + b"\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1 \r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
)
STATUS = re.compile(rb"^HTTP/1\.[01] \d{3} ", re.M)
NEXT = b"GET /api/v1/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_s11_requests_that_mean_two_things_are_refused(tmp_path: Path) -> None:
    """400, and the connection is closed: what hides behind is not taken for a request of its own."""
    async with run_edge(tmp_path, **QUIET):
        for attack in SMUGGLED:
            answer = await said(tmp_path / SOCKET, attack + NEXT)
            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400", b"HTTP/1.1 431")), (
                attack[:120],
                answer[:200],
            )
            assert len(STATUS.findall(answer)) == 1, (attack[:120], answer[:400])
            assert b'"ok"' not in answer
        # An upgrade nobody offers is an ordinary request, and what comes behind it is one too: nothing is passed on.
        upgrade = b"GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        answer = await said(tmp_path / SOCKET, upgrade + NEXT)
        assert b" 101 " not in answer.partition(b"\r\n")[0]


async def said(path: Path, request: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(request)
        answer = b""
        async with asyncio.timeout(20):
            answer += await reader.read(65536)
        async with asyncio.timeout(1.5):
            while block := await reader.read(65536):
                answer += block
    except (TimeoutError, ConnectionError):
        pass  # kept open: what was said is what counts
    finally:
        writer.close()
    return answer


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    import gzip

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(file.getvalue())


def linked(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


def test_s12_files_that_are_no_apps(tmp_path: Path) -> None:
    """Out of the folder by name or link, cut off: refused, and nothing is unpacked."""
    good = ("manifest.json", manifest("app", "1.0.0", "aarch64"))
    corpus = {
        "slip": packed(member(*good), member("../../evil", b"x")),
        "absolute": packed(member(*good), member("/etc/evil", b"x")),
        "link": packed(member(*good), linked("a", "/etc/passwd"), member("a/evil", b"x")),
        "cut": eap(tmp_path / "apps", "app", "1.0.0", "aarch64").read_bytes()[:200],
        "empty": b"",
        "noise": os.urandom(5000),
    }
    for name, data in corpus.items():
        path = tmp_path / f"{name}.eap"
        path.write_bytes(data)
        with pytest.raises(BadPackage):
            read_package(path)
    assert not list(tmp_path.rglob("evil"))


async def test_s12_images_for_another_model_cut_off_or_unsigned(tmp_path: Path) -> None:
    """A cut one is none; one for another model is offered to nobody; one without a signature is refused by the device,
    which runs what it ran."""
    images = tmp_path / "images"
    images.mkdir()
    whole = make_image(tmp_path / "whole.bin", ("P3265-V",), "12.10.1", size=100_000).read_bytes()
    cut = images / "cut.bin"
    cut.write_bytes(whole[:100])
    with pytest.raises(BadImage):
        read_image(cut)
    make_image(images / "other.bin", ("M3215-LVE",), "12.10.1")
    make_image(images / "unsigned.bin", ("P3265-V",), "12.10.2", signed=False)
    described = [replace(one, boot_seconds=0.2, install_seconds=0.05) for one in describe(1, ["P3265-V"])]
    async with (
        Simulator(described, https=False) as simulator,
        run_edge(
            tmp_path / "e", **QUIET, os_images=images, os_poll_interval=0.05, os_restart_timeout=9
        ) as edge,
    ):
        [device] = simulator.devices
        await edge.host.registry.found([FoundDevice(device.serial, device.address, device.http_port)])
        await edge.host.manager.add([device.serial])
        await edge.host.manager.log_in([device.serial], RIGHT)
        for version, state in (("12.10.1", WorkState.SKIPPED), ("12.10.2", WorkState.FAILED)):
            request = UpgradeRequest(ids=[device.serial], version=version)
            task = await edge.host.os.upgrade(
                request, lambda _: True, actor="t", session=None, idempotency=None
            )
            await finished(edge, task.id)
            [row] = await edge.host.tasks.rows(task.id)
            assert row.state is state and row.detail, (version, row)
        assert device.version == "12.9.57" and device.firmware.committed
