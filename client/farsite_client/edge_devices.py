"""Finding devices and working on many of them: `edge.scans` and `edge.work` of an `EdgeClient`.

started = await edge.scans.start(["10.0.0.0/20"])
await edge.tasks.wait(started.task.id)
task = await edge.work.rotate_passwords(["B8A44F673CF5"])
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from farsite_client.edge_tasks import Ask
from farsite_signaling.wire.assign_api import AssignPlan, AssignRequest
from farsite_signaling.wire.device_api import (
    AcceptCertificate,
    Credential,
    CredentialsInfo,
    DeviceDetails,
    FactoryDefaultTask,
    LogInTask,
    NetworkSettings,
    NetworkTask,
    ParametersTask,
    RestartTask,
    RotateTask,
    ServiceAccountTask,
    SetUpTask,
    TagsChange,
)
from farsite_signaling.wire.discovery_api import ScanRequest, ScanStarted
from farsite_signaling.wire.edge_api import Device, DeviceResult, DeviceResults
from farsite_signaling.wire.edge_tasks import Task


class ScanClient:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def start(
        self,
        targets: Sequence[str] = (),
        *,
        csv: str | None = None,
        ports: Sequence[int] = (),
        rate: int | None = None,
        check: bool = False,
    ) -> ScanStarted:
        """Probe up to 25,600 addresses; `csv` is the text of a file with one column of them. With `check` the targets
        are only looked at."""
        request = ScanRequest(targets=list(targets), csv=csv, ports=list(ports), rate=rate, check=check)
        return await self._ask("POST", "/discovery/scans", ScanStarted, request, headers=_once())


class DeviceWork:
    """What makes a `Task`; follow it with `edge.tasks`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def log_in(self, devices: Iterable[str], credentials: Iterable[tuple[str, str]]) -> Task:
        """Each device is tried with one (name, password) after the other, slowly."""
        chosen = [Credential(username=name, password=SecretStr(password)) for name, password in credentials]
        return await self._task("log-in", LogInTask(ids=list(devices), credentials=chosen))

    async def set_up(
        self, devices: Iterable[str], password: str | None = None, *, username: str = "root"
    ) -> Task:
        """First accounts; without a password the edge host makes one up for each device, and keeps it."""
        secret = SecretStr(password) if password else None
        return await self._task("set-up", SetUpTask(ids=list(devices), username=username, password=secret))

    async def rotate_passwords(self, devices: Iterable[str], password: str | None = None) -> Task:
        """Of the accounts in use; without a password the edge host makes one up for each device."""
        secret = SecretStr(password) if password else None
        return await self._task("rotate-password", RotateTask(ids=list(devices), password=secret))

    async def service_accounts(self, devices: Iterable[str]) -> Task:
        """Accounts of the edge host's own; those in use stay as they are."""
        return await self._task("service-account", ServiceAccountTask(ids=list(devices)))

    async def restart(self, devices: Iterable[str]) -> Task:
        return await self._task("restart", RestartTask(ids=list(devices)))

    async def factory_default(self, devices: Iterable[str], *, hard: bool = False) -> Task:
        """The devices lose their settings and accounts; `hard` their network settings too."""
        ids = list(dict.fromkeys(devices))
        request = FactoryDefaultTask(ids=ids, mode="hard" if hard else "soft", confirm=len(ids))
        return await self._task("factory-default", request)

    async def set_parameters(self, devices: Iterable[str], values: Mapping[str, str]) -> Task:
        return await self._task("parameters", ParametersTask(ids=list(devices), values=dict(values)))

    async def set_network(
        self, device: str, *, address: str | None = None, router: str | None = None
    ) -> Task:
        """A static `address` with its prefix (`192.168.1.20/24`), or DHCP without one."""
        mode: Any = "static" if address else "dhcp"
        request = NetworkTask(mode=mode, address=address, router=router)
        return await self._ask("PUT", f"{_device(device)}/network", Task, request, headers=_once())

    async def assign(self, request: AssignRequest) -> AssignPlan:
        """Host names and addresses for many; with `check` only looked at. Bad rows say why, the good ones go on."""
        return await self._ask("POST", "/devices/assignments", AssignPlan, request, headers=_once())

    # Of one device, at once

    async def details(self, device: str) -> DeviceDetails:
        return await self._ask("GET", f"{_device(device)}/details", DeviceDetails)

    async def network(self, device: str) -> NetworkSettings:
        return await self._ask("GET", f"{_device(device)}/network", NetworkSettings)

    async def credentials(self, device: str) -> CredentialsInfo:
        """Names and times; passwords stay on the edge host."""
        return await self._ask("GET", f"{_device(device)}/credentials", CredentialsInfo)

    async def accept_certificate(self, device: str, fingerprint: str) -> Device:
        """From now on it is the device's. Raises `conflict` when the device shows another one."""
        request = AcceptCertificate(fingerprint=fingerprint)
        return await self._ask("POST", f"{_device(device)}/certificate", Device, request)

    async def tag(
        self, devices: Iterable[str], *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> list[DeviceResult]:
        request = TagsChange(ids=list(devices), add=list(add), remove=list(remove))
        return (await self._ask("POST", "/devices/tags", DeviceResults, request)).results

    async def _task(self, name: str, request: BaseModel) -> Task:
        return await self._ask("POST", f"/devices/tasks/{name}", Task, request, headers=_once())


def _once() -> dict[str, str]:
    """Sent again after a broken connection, the request makes no second task."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def _device(device: str) -> str:
    return f"/devices/{quote(device, safe='')}"
