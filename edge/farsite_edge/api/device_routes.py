"""Routes about devices. A device outside the grant is answered like one that does not exist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.api.guard import PRINCIPAL, Guard
from farsite_edge.api.principal import Principal
from farsite_edge.api.reports import send_report
from farsite_edge.audit import AuditLog
from farsite_edge.devices import DeviceManager, Monitor, Registry
from farsite_edge.devices.credentials import Account
from farsite_edge.devices.details import read_details, read_network
from farsite_edge.devices.listing import DeviceQuery, page_of
from farsite_signaling.rest import Answer, Api, read_query
from farsite_signaling.rest.etags import etag, revision_of
from farsite_signaling.wire.device_api import (
    AcceptCertificate,
    CredentialsInfo,
    DeviceDetails,
    NetworkSettings,
    PastCredentials,
    TagsChange,
)
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


class SnapshotQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    resolution: str | None = Field(default=None, pattern=r"^\d{2,5}x\d{2,5}$")


class ReportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mode: Literal["text", "zip", "zip_with_image"] = "zip"


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
            "PATCH",
            "/devices/{id}/parameters",
            need=manage,
            request=ParametersChange,
            response=Parameters,
            errors=(ErrorCode.PRECONDITION_FAILED,),
        )
        change(self.change_parameters)
        route("GET", "/devices/{id}/details", need=read, response=DeviceDetails)(self.details)
        route("GET", "/devices/{id}/network", need=read, response=NetworkSettings)(self.network)
        route("GET", "/devices/{id}/credentials", need=secrets, response=CredentialsInfo)(self.credentials)
        route("GET", "/devices/{id}/report", need=manage, query=ReportQuery)(self.report)
        route("POST", "/devices/tags", need=manage, request=TagsChange, response=DeviceResults)(self.tags)
        accept = route(
            "POST", "/devices/{id}/certificate", need=secrets, request=AcceptCertificate, response=Device
        )
        accept(self.accept_certificate)
        route("GET", "/devices/{id}/snapshot", need=Right.DEVICE_VIEW, query=SnapshotQuery)(self.snapshot)
        return api

    async def devices(self, request: web.Request) -> DeviceList:
        """Discovered and managed devices: filtered, searched, sorted."""
        query = read_query(request, DeviceQuery)
        principal = request[PRINCIPAL]
        records = [one for one in self._registry.all() if principal.sees(one.id)]
        page, following, total = page_of(records, query)
        return DeviceList(devices=[one.shown() for one in page], next_cursor=following, total=total)

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
            values = await self._manager.change_parameters(device, body.values, body.before)
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

    async def details(self, request: web.Request) -> DeviceDetails:
        """Everything the device tells of itself, read now."""
        device = await self._visible(request, Right.DEVICE_READ)
        async with self._manager.logged_in(device) as client:
            return await read_details(self._registry.get(device), client)

    async def network(self, request: web.Request) -> Answer:
        """The device's network settings, read now."""
        device = await self._visible(request, Right.DEVICE_READ)
        found = await read_network(self._manager, device)
        return Answer(found, etag(revision_of(found)))

    async def credentials(self, request: web.Request) -> CredentialsInfo:
        """What the edge host logs in with and did before; never a password."""
        device = await self._visible(request, Right.DEVICE_CREDENTIALS)
        record, store = self._registry.managed(device), self._manager.credentials
        account = await store.kept(device)
        return CredentialsInfo(
            username=account.username if account else None,
            service_account=record.service_account,
            changed_at=record.password_changed_at,
            unresolved=device in store.unresolved,
            history=[
                PastCredentials(username=past.username, until=past.until, still_valid=past.still_valid)
                for past in await store.history(device)
            ],
        )

    async def tags(self, request: web.Request, body: TagsChange) -> DeviceResults:
        """Put tags on devices and take them off."""
        return await self._many(
            request, "device.tags", body.ids, lambda ids: self._manager.tag(ids, body.add, body.remove)
        )

    async def accept_certificate(self, request: web.Request, body: AcceptCertificate) -> Device:
        """Accept the certificate a device shows now as its own."""
        device = await self._visible(request, Right.DEVICE_CREDENTIALS)
        principal, details = request[PRINCIPAL], {"fingerprint": body.fingerprint}
        record = await self._manager.accept_certificate(device, body.fingerprint)
        await self._note(principal, "device.certificate", device, "allowed", details)
        return record.shown()

    async def report(self, request: web.Request) -> web.StreamResponse:
        """The device's server report, as it comes."""
        device = await self._visible(request, Right.DEVICE_MANAGE)
        query = read_query(request, ReportQuery)
        principal = request[PRINCIPAL]
        await self._write(principal, "device.report", device)
        async with self._manager.reporting(device) as client:
            return await send_report(request, client, query.mode, device)

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
