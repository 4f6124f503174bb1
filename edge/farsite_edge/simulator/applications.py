"""`/axis-cgi/applications/…`: apps of a simulated device."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from aiohttp import BodyPartReader, web

from farsite_edge.apps.package import ANY_ARCHITECTURE, BadPackage, PackageFacts, read_package
from farsite_edge.simulator.faults import hang_up
from farsite_signaling.wire.os_versions import parse, version_tuple

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice

BLOCK = 256 * 1024
OLDEST = (5, 60)
"""Before it devices take no apps."""


@dataclass
class SimulatedApp:
    name: str
    version: str
    title: str = ""
    vendor: str = ""
    status: str = "Stopped"
    license: str = "None"
    bundled: bool = False
    signed: bool = True


@dataclass
class Applications:
    """`refuse`: the error the next uploads get; `answer_lost`: they are done and not answered; `license`: of what is
    installed from now on; `broken`: names of apps that do not start."""

    apps: dict[str, SimulatedApp] = field(default_factory=dict)
    refuse: int | None = None
    answer_lost: bool = False
    license: str = "None"
    broken: set[str] = field(default_factory=set)
    uploads: int = 0

    def install(self, facts: PackageFacts) -> None:
        before = self.apps.get(facts.name)
        status = before.status if before is not None else "Stopped"
        self.apps[facts.name] = SimulatedApp(
            facts.name, facts.version, facts.title, facts.vendor, status, self.license, False, facts.signed
        )
        self.uploads += 1

    def control(self, action: str, name: str) -> int:
        """The error number; 0: done."""
        app = self.apps.get(name)
        if app is None or action not in ("start", "stop", "restart", "remove"):
            return 4 if app is None else 1
        if action == "remove":
            return self._remove(app)
        running = app.status == "Running"
        if action == "stop":
            app.status = "Stopped"
            return 0 if running else 7
        if app.name in self.broken or app.license in ("Missing", "Invalid"):
            return 8
        if running and action == "start":
            return 6
        app.status = "Running"
        return 0

    def _remove(self, app: SimulatedApp) -> int:
        if app.bundled:
            return 10
        del self.apps[app.name]
        return 0

    def take_key(self, name: str, key: str, serial: str) -> int:
        """A key of the simulator's is `SERIAL APP`. The error number; 0: done."""
        app, words = self.apps.get(name), key.split()
        if app is None or len(words) != 2:
            return 24 if app is None else 21
        if words[0] != serial or words[1] != name:
            return 30 if words[0] != serial else 25
        app.license = "Valid"
        return 0

    def drop_key(self, name: str) -> int:
        app = self.apps.get(name)
        if app is None or app.license != "Valid":
            return 24 if app is None else 23
        app.license = "Missing"
        return 0


def has_applications(device: SimulatedDevice) -> bool:
    return device.model.acap and version_tuple(device.version) >= OLDEST


async def list_apps(device: SimulatedDevice, _request: web.Request) -> web.Response:
    newest = device.model.generation == "12"
    shown = "".join(_shown(app, newest=newest) for app in device.applications.apps.values())
    text = f'<reply result="ok">{shown}</reply>' if shown else '<reply result="ok"/>'
    return web.Response(text=text, content_type="text/xml")


def _shown(app: SimulatedApp, *, newest: bool) -> str:
    values = {
        "Name": app.name, "NiceName": app.title or app.name, "Vendor": app.vendor, "Version": app.version,
        "License": app.license, "LicenseExpirationDate": "0", "Status": app.status, "ConfigurationPage": "",
    }  # fmt: skip
    if newest:
        values |= {
            "Bundled": "Yes" if app.bundled else "No",
            "SignatureStatus": "Signed" if app.signed else "Unknown",
        }
    return f"<application {' '.join(f'{name}={quoteattr(value)}' for name, value in values.items())}/>"


async def control(device: SimulatedDevice, request: web.Request) -> web.Response:
    fields = dict(request.query) | {name: str(value) for name, value in (await request.post()).items()}
    number = device.applications.control(fields.get("action", ""), fields.get("package", ""))
    return _text(number)


async def license_key(device: SimulatedDevice, request: web.Request) -> web.Response:
    name, action = request.query.get("package", ""), request.query.get("action", "")
    if action == "removelicensekey":
        return _text(device.applications.drop_key(name))
    part = await (await request.multipart()).next()
    if action != "uploadlicensekey" or not isinstance(part, BodyPartReader) or not part.filename:
        return _text(22)
    key = (await part.read()).decode("utf-8", "replace")
    return _text(device.applications.take_key(name, key, device.serial))


async def upload(device: SimulatedDevice, request: web.Request) -> web.StreamResponse:
    boot = device.boot_id
    with tempfile.TemporaryDirectory(prefix="farsite-simulator-") as folder:
        path = Path(folder) / "package.eap"
        if not await _receive(device, request, path):
            return await hang_up(request)
        number = await _install(device, path)
    await asyncio.sleep(device.description.install_seconds / 10)
    if device.boot_id != boot or device.applications.answer_lost:
        return await hang_up(request)
    return _text(number)


async def _receive(device: SimulatedDevice, request: web.Request, path: Path) -> bool:
    """False: the power went off meanwhile, or the caller did."""
    boot = device.boot_id
    try:
        part = await (await request.multipart()).next()
        if not isinstance(part, BodyPartReader) or not part.filename:
            path.write_bytes(b"")
            return True
        with path.open("wb") as file:
            while block := await part.read_chunk(BLOCK):
                if device.boot_id != boot:
                    return False
                file.write(block)
                device.uploading.set()
                if device.upload_gate is not None:
                    await device.upload_gate.wait()
    except (ValueError, ConnectionError, EOFError, web.RequestPayloadError):
        return False
    return device.boot_id == boot


async def _install(device: SimulatedDevice, path: Path) -> int:
    if device.applications.refuse is not None:
        return device.applications.refuse
    try:
        _, facts = await asyncio.to_thread(read_package, path)
    except BadPackage:
        return 1
    own = {device.model.architecture.lower()}
    if facts.architecture.lower() not in ANY_ARCHITECTURE | own:
        return 5
    if facts.requires and parse(facts.requires) > parse(device.version):
        return 5
    if not facts.signed and not device.allow_unsigned:
        return 2
    device.applications.install(facts)
    return 0


def _text(number: int) -> web.Response:
    return web.Response(text=f"Error: {number}\n" if number else "OK\n", content_type="text/plain")
