"""Routes about apps: the packages of the folder, and what one device has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL, Guard
from farsite_edge.apps import AppFolder
from farsite_edge.audit import AuditLog
from farsite_edge.devices import DeviceManager
from farsite_edge.vapix.applications import ControlApplication, ListApplications, RemoveLicence, UploadLicence
from farsite_edge.vapix.request import ApiRequest
from farsite_signaling.rest import Api
from farsite_signaling.wire.apps_api import AppControl, AppLicence, AppPackages, DeviceApps
from farsite_signaling.wire.rights import Right

SECONDS = 60.0


class AppRoutes:
    def __init__(self, guard: Guard, folder: AppFolder, manager: DeviceManager, audit: AuditLog) -> None:
        self._guard = guard
        self._folder = folder
        self._manager = manager
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        read, manage = Right.DEVICE_READ, Right.DEVICE_MANAGE
        route: Any = api.route
        route("GET", "/app-packages", need=read, response=AppPackages)(self.packages)
        route("GET", "/devices/{id}/apps", need=read, response=DeviceApps)(self.apps)
        one = "/devices/{id}/apps/{app}"
        route("POST", one, need=manage, request=AppControl, response=DeviceApps)(self.control)
        route("DELETE", one, need=manage, response=DeviceApps)(self.remove)
        licence = f"{one}/license"
        route("PUT", licence, need=manage, request=AppLicence, response=DeviceApps)(self.license)
        route("DELETE", licence, need=manage, response=DeviceApps)(self.unlicense)
        return api

    async def packages(self, request: web.Request) -> AppPackages:
        """The app packages of the operator's folder, and why some cannot be used."""
        return AppPackages(folder=str(self._folder.folder), packages=await self._folder.packages())

    async def apps(self, request: web.Request) -> DeviceApps:
        """The apps of a device, as it lists them now."""
        async with self._client(request, Right.DEVICE_READ) as client:
            return DeviceApps(apps=await client.send(ListApplications()))

    async def control(self, request: web.Request, body: AppControl) -> DeviceApps:
        """Start, stop or restart an app. An apps policy brings it back to what it wants."""
        return await self._change(request, body.action)

    async def remove(self, request: web.Request) -> DeviceApps:
        """Remove an app from a device. An apps policy that wants it installs it again."""
        return await self._change(request, "remove")

    async def license(self, request: web.Request, body: AppLicence) -> DeviceApps:
        """Install the licence key of an app; the device checks that it is for it."""
        key = body.key.get_secret_value().encode()
        return await self._asked(request, "license", lambda app: UploadLicence(app, key))

    async def unlicense(self, request: web.Request) -> DeviceApps:
        """Remove the licence key of an app."""
        return await self._asked(request, "unlicense", RemoveLicence)

    async def _change(self, request: web.Request, action: str) -> DeviceApps:
        return await self._asked(request, action, lambda app: ControlApplication(action, app))

    async def _asked(
        self, request: web.Request, action: str, ask: Callable[[str], ApiRequest[None]]
    ) -> DeviceApps:
        principal, app = request[PRINCIPAL], request.match_info["app"][:64]
        async with self._client(request, Right.DEVICE_MANAGE) as client:
            await self._audit.write(
                f"app.{action}",
                actor=principal.actor,
                target=request.match_info["id"],
                session=principal.session,
                details={"app": app},
            )
            await client.send_slowly(ask(app), timeout=SECONDS)
            return DeviceApps(apps=await client.send(ListApplications()))

    @asynccontextmanager
    async def _client(self, request: web.Request, right: Right) -> AsyncIterator[Any]:
        device = request.match_info["id"]
        if not request[PRINCIPAL].allows(right, device):
            raise await self._guard.refuse_device(request, device)
        async with self._manager.logged_in(device) as client:
            yield client
