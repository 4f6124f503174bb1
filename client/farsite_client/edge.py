"""`EdgeClient`: an edge host's REST API, typed; the same over a tunnel and over the LAN.

async with connect(profile, "Warehouse") as session:
    for device in await session.edge.devices():
        print(device.id, device.model, device.state)
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, SecretStr

from farsite_client.apps import AppClient
from farsite_client.edge_devices import DeviceWork, ScanClient
from farsite_client.edge_tasks import OsClient, TaskClient
from farsite_client.http import failures, parse, raise_for_problem, read_limited, reveal
from farsite_client.policies import PolicyClient
from farsite_client.read_before import ReadBefore
from farsite_signaling.wire.edge_api import (
    AuditList,
    ClaimRequest,
    Device,
    DeviceIds,
    DeviceList,
    DeviceResult,
    DeviceResults,
    DiscoverRequest,
    DiscoverResult,
    EdgeInfo,
    EdgeStatus,
    LogInRequest,
    Parameters,
    ParametersChange,
    Settings,
    SettingsChange,
    SetUpRequest,
    UploadResult,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

ModelT = TypeVar("ModelT", bound=BaseModel)
PREFIX = "/api/v1"
MAX_SNAPSHOT = 64 * 1024 * 1024
CHUNK = 256 * 1024
REPORT_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=240)


class EdgeClient:
    """Speaks over a session whose connections lead to the edge host; it closes neither of them.

    `bulk` carries transfers of many megabytes, so that they give way to everything else.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base: str = "http://edge",
        name: str = "the edge host",
        headers: Mapping[str, str] | None = None,
        bulk: aiohttp.ClientSession | None = None,
    ) -> None:
        self._session = session
        self._bulk = bulk or session
        self._base = base + PREFIX
        self._name = name
        self._headers = dict(headers or {})
        self.read_before = ReadBefore()
        """As with the cloud: edits of settings and network settings say what was read."""
        self.tasks = TaskClient(self._ask)
        self.os = OsClient(self._ask)
        self.scans = ScanClient(self._ask)
        self.work = DeviceWork(self._ask)
        self.apps = AppClient(self._ask)
        self.policies = PolicyClient(self._ask, self._text)

    # the edge host itself

    async def status(self) -> EdgeStatus:
        return await self._ask("GET", "/status", EdgeStatus)

    async def settings(self) -> Settings:
        return await self._ask("GET", "/settings", Settings)

    async def change_settings(self, change: SettingsChange) -> Settings:
        return await self._ask("PATCH", "/settings", Settings, change)

    async def info(self) -> EdgeInfo:
        return await self._ask("GET", "/info", EdgeInfo)

    async def claim(self, request: ClaimRequest) -> EdgeInfo:
        """Only while unclaimed, only over the LAN."""
        return await self._ask("POST", "/claim", EdgeInfo, request)

    async def audit(self, cursor: str | None = None) -> AuditList:
        return await self._ask("GET", "/audit", AuditList, query={"cursor": cursor} if cursor else None)

    # devices

    async def devices(self, *, managed: bool | None = None, **filters: str) -> list[Device]:
        """All devices, or only the managed (`True`) or only the discovered ones (`False`). `filters`: `status`,
        `model`, `tag`, `search`; `sort` and `order`."""
        found: list[Device] = []
        query = dict(filters)
        if managed is not None:
            query["state"] = "managed" if managed else "discovered"
        while True:
            page = await self._ask("GET", "/devices", DeviceList, query=query)
            found += page.devices
            if page.next_cursor is None:
                return found
            query["cursor"] = page.next_cursor

    async def device(self, device: str) -> Device:
        return await self._ask("GET", _device(device), Device)

    async def discover(
        self,
        targets: Sequence[str] = (),
        *,
        multicast: bool = True,
        ports: Sequence[int] = (),
        timeout: float = 3.0,
    ) -> DiscoverResult:
        request = DiscoverRequest(
            multicast=multicast, targets=list(targets), ports=list(ports), timeout=timeout
        )
        return await self._ask("POST", "/discovery", DiscoverResult, request)

    async def add(self, devices: Iterable[str]) -> list[DeviceResult]:
        """Manage discovered devices."""
        return await self._many("POST", "/devices", DeviceIds(ids=list(devices)))

    async def remove(self, devices: Iterable[str]) -> list[DeviceResult]:
        """Stop managing devices and forget their credentials."""
        return await self._many("DELETE", "/devices", DeviceIds(ids=list(devices)))

    async def log_in(self, devices: Iterable[str], username: str, password: str) -> list[DeviceResult]:
        """Check credentials on each device once and keep them on the edge host."""
        ids = list(devices)
        request = LogInRequest(ids=ids, username=username, password=SecretStr(password))
        return await self._many("POST", "/devices/log-in", request)

    async def set_up(
        self, devices: Iterable[str], password: str, username: str = "root"
    ) -> list[DeviceResult]:
        """Make the first account of factory-new devices."""
        ids = list(devices)
        request = SetUpRequest(ids=ids, username=username, password=SecretStr(password))
        return await self._many("POST", "/devices/set-up", request)

    async def parameters(self, device: str, *groups: str) -> dict[str, str]:
        """Values by full name without `root.`; those of `Brand` when no group is named."""
        query = [("group", group) for group in groups]
        answer = await self._ask("GET", f"{_device(device)}/parameters", Parameters, query=query)
        return answer.values

    async def change_parameters(
        self, device: str, values: Mapping[str, str], *, before: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """What the device itself says afterwards. `before`: only if it still says that, else `precondition_failed`."""
        request = ParametersChange(values=dict(values))
        if before:
            request = request.model_copy(update={"before": dict(before)})
        answer = await self._ask("PATCH", f"{_device(device)}/parameters", Parameters, request)
        return answer.values

    async def snapshot(self, device: str, *, resolution: str | None = None) -> bytes:
        """One JPEG."""
        query = {"resolution": resolution} if resolution else None
        async with self._request("GET", f"{_device(device)}/snapshot", query=query) as response:
            return await read_limited(response, MAX_SNAPSHOT)

    async def report(self, device: str, write: Callable[[bytes], object], *, mode: str = "zip") -> int:
        """Hands the device's server report to `write` as it comes; how many bytes it had. The device may think for
        minutes first. Raises `protocol_error` when it breaks off."""
        received = 0
        path = f"{_device(device)}/report"
        async with self._request(
            "GET", path, query={"mode": mode}, session=self._bulk, timeout=REPORT_TIMEOUT
        ) as response:
            async for part in response.content.iter_any():
                received += len(part)
                write(part)
        return received

    # measuring the way

    async def upload(self, size: int) -> UploadResult:
        """Send `size` bytes and have them counted."""
        async with self._request(
            "POST", "/diagnostics/upload", data=_zeros(size), session=self._bulk
        ) as response:
            return parse(UploadResult, await read_limited(response), self._name)

    async def download(self, size: int) -> str:
        """Receive `size` bytes; returns their SHA-256, hex. Raises `protocol_error` when some are missing."""
        digest, received = hashlib.sha256(), 0
        async with self._request(
            "GET", "/diagnostics/download", query={"bytes": str(size)}, session=self._bulk
        ) as response:
            async for part in response.content.iter_any():
                received += len(part)
                digest.update(part)
        if received != size:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"{received} of {size} bytes arrived.")
        return digest.hexdigest()

    # how

    async def _many(self, method: str, path: str, body: BaseModel) -> list[DeviceResult]:
        answer = await self._ask(method, path, DeviceResults, body)
        return answer.results

    async def _ask(
        self,
        method: str,
        path: str,
        model: type[ModelT],
        body: BaseModel | None = None,
        *,
        query: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> ModelT:
        async with self._request(method, path, body=body, query=query, headers=headers) as response:
            return parse(model, await read_limited(response), self._name)

    async def _text(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        async with self._request(method, path, query=query, headers=headers) as response:
            return (await read_limited(response)).decode()

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | None = None,
        query: Any = None,
        data: Any = None,
        session: aiohttp.ClientSession | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        kept = path == "/settings" or path.endswith("/network")
        read = self.read_before.headers(method, path) if kept else {}
        async with (
            failures(self._name, ErrorCode.PEER_UNREACHABLE),
            (session or self._session).request(
                method,
                self._base + path,
                json=None if body is None else reveal(body),
                data=data,
                params=query,
                headers=self._headers | read | dict(headers or {}),
                allow_redirects=False,
                timeout=timeout,
            ) as response,
        ):
            await raise_for_problem(response, self._name)
            if kept:
                self.read_before.answered(method, path, response.headers)
            yield response


async def _zeros(size: int) -> AsyncIterable[bytes]:
    block = bytes(CHUNK)
    while size > 0:
        part = block[: min(size, CHUNK)]
        size -= len(part)
        yield part


def _device(device: str) -> str:
    return f"/devices/{quote(device, safe='')}"
