"""What a remote administrator does, in order, each step checked by what comes back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import aiohttp

from farsite_client.connector import TunnelConnector
from farsite_client.demo.options import MIB
from farsite_client.demo.report import Report
from farsite_client.session import RemoteSession
from farsite_signaling.wire.edge_api import Device, DeviceResult, DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import DeviceTarget

SETTING = "Network.Bonjour.FriendlyName"


class Scenario:
    """Acts on one open session. `cameras`: what the simulator says of its devices, to compare with."""

    def __init__(self, session: RemoteSession, report: Report, cameras: list[dict[str, Any]]) -> None:
        self._session = session
        self._edge = session.edge
        self._report = report
        self._cameras = {camera["serial"]: camera for camera in cameras}

    async def run(self, folder: Path, transfer: int) -> None:
        await self._list()
        await self._add()
        await self._log_in()
        await self._read_state()
        await self._change_setting()
        await self._snapshot(folder)
        await self._upload(transfer)
        await self._download(transfer)

    @property
    def _ids(self) -> list[str]:
        return sorted(self._cameras)

    async def _list(self) -> None:
        with self._report.step("list discovered devices") as step:
            found = {device.id for device in await self._edge.devices(managed=False)}
            if missing := set(self._cameras) - found:
                found |= {device.id for device in (await self._edge.discover()).devices}
                missing = set(self._cameras) - found
            if missing:
                raise FarsiteError(ErrorCode.DEVICE_UNKNOWN, f"Not discovered: {', '.join(sorted(missing))}.")
            step.note = f"{len(self._cameras)} cameras"

    async def _add(self) -> None:
        with self._report.step("add them to the edge host") as step:
            _check(await self._edge.add(self._ids))
            step.note = f"{len(self._ids)} managed"

    async def _log_in(self) -> None:
        with self._report.step("log in to the devices") as step:
            accounts = {(c["username"], c["password"]) for c in self._cameras.values()}
            for username, password in accounts:
                ids = [
                    i
                    for i, c in self._cameras.items()
                    if (c["username"], c["password"]) == (username, password)
                ]
                _check(await self._edge.log_in(ids, username, password))
            step.note = "credentials are kept on the edge host, encrypted"

    async def _read_state(self) -> None:
        with self._report.step("read their state") as step:
            devices = {device.id: device for device in await self._edge.devices(managed=True)}
            for serial in self._ids:
                _check_reachable(devices[serial])
            step.note = ", ".join(f"{devices[i].model} {devices[i].version}" for i in self._ids)

    async def _change_setting(self) -> None:
        serial = self._ids[-1]
        wanted = f"Farsite demo {time.strftime('%H:%M:%S')}"
        with self._report.step("change a setting on one") as step:
            await self._edge.change_parameters(serial, {SETTING: wanted})
            step.note = f"{serial}: {SETTING} = {wanted}"
        with self._report.step("read it back from the device itself") as step:
            seen = await self._ask_device(serial)
            if seen != wanted:
                raise FarsiteError(ErrorCode.DEVICE_ANSWER, f"{serial} says {seen!r}, not {wanted!r}.")
            step.note = "through a stream to the device's own web server"

    async def _ask_device(self, serial: str) -> str:
        camera = self._cameras[serial]
        login = aiohttp.DigestAuthMiddleware(camera["username"], camera["password"])
        connector = TunnelConnector(self._session.tunnel, DeviceTarget(device=serial))
        url = f"http://{serial}.device/axis-cgi/param.cgi"
        async with (
            aiohttp.ClientSession(connector=connector, middlewares=[login]) as device,
            device.get(url, params={"action": "list", "group": f"root.{SETTING}"}) as answer,
        ):
            text = await answer.text()
        return text.strip().partition("=")[2]

    async def _snapshot(self, folder: Path) -> None:
        serial = first_with_video(list(self._cameras.values()))["serial"]
        with self._report.step("fetch a snapshot") as step:
            picture = await self._edge.snapshot(serial)
            if not picture.startswith(b"\xff\xd8"):
                raise FarsiteError(ErrorCode.DEVICE_ANSWER, f"{serial} did not send a JPEG picture.")
            file = folder / f"snapshot-{serial}.jpg"
            file.write_bytes(picture)
            step.note = f"{len(picture) / 1024:.0f} KiB in {file}"

    async def _upload(self, size: int) -> None:
        with self._report.step(f"upload {size // MIB} MiB") as step:
            started = time.monotonic()
            result = await self._edge.upload(size)
            self._rate("up", size, started)
            if result.bytes != size:
                raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"{result.bytes} of {size} bytes arrived.")
            step.note = f"{self._report.throughput['up']:.0f} Mbit/s"

    async def _download(self, size: int) -> None:
        with self._report.step(f"download {size // MIB} MiB") as step:
            started = time.monotonic()
            await self._edge.download(size)
            self._rate("down", size, started)
            step.note = f"{self._report.throughput['down']:.0f} Mbit/s"

    def _rate(self, direction: str, size: int, started: float) -> None:
        seconds = time.monotonic() - started
        self._report.throughput[direction] = round(size * 8 / 1e6 / seconds, 1)


def first_with_video(cameras: list[dict[str, Any]]) -> dict[str, Any]:
    """By serial number; the simulator says which models have video."""
    return min(cameras, key=lambda camera: (not camera["video"], camera["serial"]))


def _check(results: list[DeviceResult]) -> None:
    for result in results:
        if not result.ok:
            raise FarsiteError(ErrorCode.DEVICE_ANSWER, f"{result.id}: {result.detail} [{result.code}]")


def _check_reachable(device: Device) -> None:
    if device.state is not DeviceState.REACHABLE:
        raise FarsiteError(
            ErrorCode.DEVICE_UNREACHABLE, f"{device.id} is {device.state}: {device.last_error}"
        )
