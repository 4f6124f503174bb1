"""Apps of devices: `edge.apps` of an `EdgeClient`.

for package in await edge.apps.packages():
    print(package.name, package.version, package.problem or "usable")
await edge.apps.control("B8A44F673CF5", "vmd", "start")
"""

from __future__ import annotations

from urllib.parse import quote

from pydantic import BaseModel

from farsite_client.edge_tasks import Ask
from farsite_signaling.wire.apps_api import (
    AppAction,
    AppControl,
    AppPackage,
    AppPackages,
    DeviceApp,
    DeviceApps,
)


class AppClient:
    """Apps are installed and updated by policies of the kind `apps` (`edge.policies`)."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def packages(self) -> list[AppPackage]:
        """Of the edge host's folder."""
        return (await self._ask("GET", "/app-packages", AppPackages)).packages

    async def of_device(self, device: str) -> list[DeviceApp]:
        return (await self._ask("GET", f"/devices/{quote(device, safe='')}/apps", DeviceApps)).apps

    async def control(self, device: str, app: str, action: AppAction) -> list[DeviceApp]:
        """All apps of the device afterwards."""
        request = AppControl(action=action)
        return (await self._ask("POST", _app(device, app), DeviceApps, request)).apps

    async def remove(self, device: str, app: str) -> list[DeviceApp]:
        return (await self._ask("DELETE", _app(device, app), DeviceApps)).apps

    async def license(self, device: str, app: str, key: str) -> list[DeviceApp]:
        """Install a licence key, the content of the vendor's file for this device."""
        path = f"{_app(device, app)}/license"
        return (await self._ask("PUT", path, DeviceApps, _Key(key=key))).apps

    async def unlicense(self, device: str, app: str) -> list[DeviceApp]:
        return (await self._ask("DELETE", f"{_app(device, app)}/license", DeviceApps)).apps


class _Key(BaseModel):
    """`AppLicence` as it is sent: a secret is masked when it is written."""

    key: str


def _app(device: str, app: str) -> str:
    return f"/devices/{quote(device, safe='')}/apps/{quote(app, safe='')}"
