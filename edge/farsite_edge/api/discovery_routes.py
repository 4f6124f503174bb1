"""Routes that look for devices: at once, or as a task where there are many addresses."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.api.principal import Principal
from farsite_edge.api.task_routes import KEY, idempotency_key
from farsite_edge.audit import AuditLog
from farsite_edge.devices import Finder
from farsite_edge.devices.scan_job import ScanService
from farsite_signaling.rest import Api
from farsite_signaling.wire.discovery_api import ScanRequest, ScanStarted
from farsite_signaling.wire.edge_api import DiscoverRequest, DiscoverResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right


class DiscoveryRoutes:
    def __init__(self, finder: Finder, scans: ScanService, audit: AuditLog) -> None:
        self._finder = finder
        self._scans = scans
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        manage = Right.DEVICE_MANAGE
        api.route("POST", "/discovery", need=manage, request=DiscoverRequest, response=DiscoverResult)(
            self.discover
        )
        scan = api.route(
            "POST",
            "/discovery/scans",
            need=manage,
            request=ScanRequest,
            response=ScanStarted,
            status=201,
            headers=(KEY,),
        )
        scan(self.scan)
        return api

    async def discover(self, request: web.Request, body: DiscoverRequest) -> DiscoverResult:
        """Look for devices now, by multicast and at named addresses."""
        principal = request[PRINCIPAL]
        await self._write(principal, "device.discover", ", ".join(body.targets)[:400] or "multicast")
        finding = await self._finder.find(body)
        devices = [record.shown() for record in finding.devices if principal.sees(record.id)]
        return DiscoverResult(
            devices=devices,
            probed=finding.probed,
            seconds=round(finding.seconds, 3),
            problems=finding.problems,
        )

    async def scan(self, request: web.Request, body: ScanRequest) -> ScanStarted:
        """Probe up to 25,600 addresses, ranges, subnets or lines of a CSV file, as a task."""
        principal = request[PRINCIPAL]
        if principal.grant is not None and principal.grant.devices is not None:
            raise FarsiteError(
                ErrorCode.FORBIDDEN,
                "This session reaches some devices only; scanning is for those who reach all.",
                right=Right.DEVICE_MANAGE,
            )
        key = idempotency_key(request)
        started = await self._scans.start(
            body, actor=principal.actor, session=principal.session, idempotency=key
        )
        if started.task is not None:
            await self._write(principal, "device.scan", f"{started.addresses} addresses")
        return started

    async def _write(self, principal: Principal, action: str, target: str) -> None:
        await self._audit.write(action, actor=principal.actor, target=target, session=principal.session)
