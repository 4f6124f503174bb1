"""Routes about devices. A device outside the grant is answered like one that does not exist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.api.guard import PRINCIPAL, Guard
from farsite_edge.api.principal import Principal
from farsite_edge.audit import AuditLog
from farsite_edge.devices import DeviceManager, Monitor, Registry
from farsite_edge.devices.credentials import Account
from farsite_signaling.rest import Api, read_query
from farsite_signaling.wire.edge_api import (
    Device,
    DeviceIds,
    DeviceList,
    DeviceResult,
    DeviceResults,
    LogInRequest,
    Parameters,
    ParametersChange,
    SetUpRequest,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right

Act = Callable[[list[str]], Awaitable[list[DeviceResult]]]


class DeviceQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state: Literal["discovered", "managed"] | None = None
    cursor: str | None = Field(default=None, max_length=64)
    limit: int = Field(default=200, ge=1, le=1000)


class SnapshotQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    resolution: str | None = Field(default=None, pattern=r"^\d{2,5}x\d{2,5}$")


class DeviceRoutes:
    def __init__(
        self,
        guard: Guard,
        registry: Registry,
        manager: DeviceManager,
        monitor: Monitor,
        audit: AuditLog,
    ) -> None:
        self._guard = guard
        self._registry = registry
        self._manager = manager
        self._monitor = monitor
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        manage, read = Right.DEVICE_MANAGE, Right.DEVICE_READ
        secrets = Right.DEVICE_CREDENTIALS
        route = api.route
        route("GET", "/devices", need=read, response=DeviceList, query=DeviceQuery)(self.devices)
        route("POST", "/devices", need=manage, request=DeviceIds, response=DeviceResults)(self.add)
        route("DELETE", "/devices", need=manage, request=DeviceIds, response=DeviceResults)(self.remove)
        route("POST", "/devices/log-in", need=secrets, request=LogInRequest, response=DeviceResults)(
            self.log_in
        )
        route("POST", "/devices/set-up", need=secrets, request=SetUpRequest, response=DeviceResults)(
            self.set_up
        )
        route("GET", "/devices/{id}", need=read, response=Device)(self.device)
        route("GET", "/devices/{id}/parameters", need=read, response=Parameters)(self.parameters)
        change = route(
            "PATCH", "/devices/{id}/parameters", need=manage, request=ParametersChange, response=Parameters
        )
        change(self.change_parameters)
        route("GET", "/devices/{id}/snapshot", need=Right.DEVICE_VIEW, query=SnapshotQuery)(self.snapshot)
        return api

    async def devices(self, request: web.Request) -> DeviceList:
        """Discovered and managed devices, by serial number."""
        query = read_query(request, DeviceQuery)
        principal = request[PRINCIPAL]
        managed = None if query.state is None else query.state == "managed"
        records = [one for one in self._registry.all(managed=managed) if principal.sees(one.id)]
        rest = [one for one in records if query.cursor is None or one.id > query.cursor]
        page = rest[: query.limit]
        following = page[-1].id if len(rest) > len(page) else None
        return DeviceList(devices=[one.shown() for one in page], next_cursor=following)

    async def add(self, request: web.Request, body: DeviceIds) -> DeviceResults:
        """Add discovered devices to the edge host."""
        results = await self._many(request, "device.add", body.ids, self._manager.add)
        self._monitor.soon()
        return results

    async def remove(self, request: web.Request, body: DeviceIds) -> DeviceResults:
        """Remove devices from the edge host: they are discovered ones again."""
        return await self._many(request, "device.remove", body.ids, self._manager.remove)

    async def log_in(self, request: web.Request, body: LogInRequest) -> DeviceResults:
        """Log in to devices; each is tried once."""
        account = Account(body.username, body.password.get_secret_value())
        return await self._many(
            request, "device.log_in", body.ids, lambda ids: self._manager.log_in(ids, account)
        )

    async def set_up(self, request: web.Request, body: SetUpRequest) -> DeviceResults:
        """Give factory-new devices their first account."""
        account = Account(body.username, body.password.get_secret_value())
        return await self._many(
            request, "device.set_up", body.ids, lambda ids: self._manager.set_up(ids, account)
        )

    async def device(self, request: web.Request) -> Device:
        """One device."""
        return self._registry.get(await self._visible(request, Right.DEVICE_READ)).shown()

    async def parameters(self, request: web.Request) -> Parameters:
        """Read parameters from the device; `group` (repeatable) names what to read, `Brand` without it."""
        device = await self._visible(request, Right.DEVICE_READ)
        groups = request.query.getall("group", [])[:50] or ["Brand"]
        return Parameters(values=await self._manager.parameters(device, groups))

    async def change_parameters(self, request: web.Request, body: ParametersChange) -> Parameters:
        """Change parameters and read them back from the device."""
        device = await self._visible(request, Right.DEVICE_MANAGE)
        principal = request[PRINCIPAL]
        names = {"parameters": sorted(body.values)}
        try:
            values = await self._manager.change_parameters(device, body.values)
        except FarsiteError as error:
            details = {**names, "code": error.code}
            await self._note(principal, "device.parameters", device, "failed", details)
            raise
        await self._note(principal, "device.parameters", device, "allowed", names)
        return Parameters(values=values)

    async def snapshot(self, request: web.Request) -> web.Response:
        """A picture of now (image/jpeg)."""
        device = await self._visible(request, Right.DEVICE_VIEW)
        query = read_query(request, SnapshotQuery)
        data = await self._manager.snapshot(device, query.resolution)
        return web.Response(body=data, content_type="image/jpeg")

    async def _visible(self, request: web.Request, right: Right) -> str:
        device = request.match_info["id"]
        if not request[PRINCIPAL].allows(right, device):
            raise await self._guard.refuse_device(request, device)
        return device

    async def _many(self, request: web.Request, action: str, ids: list[str], act: Act) -> DeviceResults:
        principal = request[PRINCIPAL]
        ids = list(dict.fromkeys(ids))
        visible = [device for device in ids if principal.sees(device)]
        done = {result.id: result for result in await act(visible)} if visible else {}
        results = [done.get(device) or _hidden(device) for device in ids]
        await self._audit_many(principal, action, results)
        return DeviceResults(results=results)

    async def _audit_many(self, principal: Principal, action: str, results: list[DeviceResult]) -> None:
        for result in results:
            refused = not principal.sees(result.id)
            outcome = "refused" if refused else "allowed" if result.ok else "failed"
            details = {} if result.ok else {"code": result.code}
            await self._note(principal, action, result.id, outcome, details)

    async def _write(self, principal: Principal, action: str, target: str) -> None:
        await self._audit.write(action, actor=principal.actor, target=target, session=principal.session)

    async def _note(
        self, principal: Principal, action: str, target: str, outcome: str, details: Mapping[str, object]
    ) -> None:
        await self._audit.note(
            action,
            actor=principal.actor,
            target=target,
            outcome=outcome,
            session=principal.session,
            details=dict(details),
        )


def _unknown(device: str) -> FarsiteError:
    detail = f"There is no device {device[:64]} on this edge host."
    return FarsiteError(ErrorCode.DEVICE_UNKNOWN, detail)


def _hidden(device: str) -> DeviceResult:
    error = _unknown(device)
    return DeviceResult(id=device, ok=False, code=error.code, detail=error.detail)
