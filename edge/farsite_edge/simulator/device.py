"""One simulated device: its state and its web server."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import uuid
from dataclasses import replace
from ipaddress import ip_address

from aiohttp import web

from farsite_edge.simulator.accounts import Account, Accounts
from farsite_edge.simulator.applications import Applications
from farsite_edge.simulator.certificate import DeviceTls, load
from farsite_edge.simulator.certificates import CertificateStore
from farsite_edge.simulator.faults import Fault, UpgradeFaults
from farsite_edge.simulator.firmware import Firmware, Options
from farsite_edge.simulator.gatekeeper import Gatekeeper, Policy, Throttle
from farsite_edge.simulator.generations import generation_of
from farsite_edge.simulator.models import DeviceDescription, DeviceModel
from farsite_edge.simulator.network_cgi import NetworkState
from farsite_edge.simulator.onvif_users import OnvifUsers
from farsite_edge.simulator.overlay import Defaults, Overlay
from farsite_edge.simulator.parameter_store import ParameterStore
from farsite_edge.simulator.parameter_template import template
from farsite_edge.simulator.picture import TestPicture
from farsite_edge.simulator.rest_config import RestConfig
from farsite_edge.simulator.time_cgi import Clock
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PREVIEW_SECONDS = 7200
SHUTDOWN_SECONDS = 0.2


class SimulatedDevice:
    """`start` and `stop` switch it on and off; ports stay the same once known. `address` is where it is reached."""

    def __init__(
        self,
        description: DeviceDescription,
        address: str,
        http_port: int,
        https_port: int | None,
        bind: str | None = None,
    ) -> None:
        self.description = description
        self.model: DeviceModel = description.model
        self.firmware = Firmware(self.model.version)
        self.fault = Fault(description.fault)
        self.upgrade_faults = UpgradeFaults()
        self.impostor: SimulatedDevice | None = None  # answers at its address, as with an address given twice
        self.network = NetworkState()
        self.report_blocks = 4
        self.received = 0  # bytes of images
        self.uploading = asyncio.Event()
        self.upload_gate: asyncio.Event | None = None  # when set, an upload goes on only while it is
        self.serial = description.serial
        self.address = address
        self._bind = bind or address
        self.http_port = http_port
        self.https_port = https_port if self.model.quirks.https else None
        self.username = description.username
        self.password = description.password
        self.boot_id = str(uuid.uuid4())
        self.requests = 0
        self.accounts = Accounts(
            root_only=self.model.quirks.root_only, internal=self.model.quirks.internal_accounts
        )
        self.gate = Gatekeeper(self.serial, self.accounts, self._policy, time.monotonic)
        self.rest = RestConfig()
        self.applications = Applications()
        self.clock = Clock(offset=description.clock_offset)
        self.certificates = CertificateStore()
        self.onvif = OnvifUsers()
        self.allow_unsigned = self.model.generation != "12"
        self.picture = TestPicture(self.model.product, self.serial)
        self.parameters = ParameterStore(Overlay(Defaults(), {}), recommended_policy=False)
        self.stopping = asyncio.Event()
        self._booted_at = time.monotonic()
        self._ready_at = 0.0
        self._up_at = 0.0
        self._tls: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None
        self._also: list[web.TCPSite] = []
        self._also_address: str | None = None
        self.reset(factory_default=description.factory_default)

    def now(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    @property
    def tls(self) -> ssl.SSLContext | None:
        return self._tls

    @property
    def version(self) -> str:
        return self.model.version

    @property
    def down(self) -> bool:
        """Without power, or before its network is up."""
        return time.monotonic() < self._up_at

    @property
    def needs_setup(self) -> bool:
        return len(self.accounts) == 0

    @property
    def booting(self) -> bool:
        return time.monotonic() < self._ready_at

    @property
    def uptime(self) -> int:
        return int(time.monotonic() - self._booted_at)

    @property
    def running(self) -> bool:
        return self._runner is not None

    @property
    def failed_logins(self) -> int:
        """Logins with a wrong name or password so far."""
        return self.gate.refusals

    @property
    def friendly_name(self) -> str:
        return self.parameters.get("Network.Bonjour.FriendlyName", self.model.product)

    @property
    def preview_left(self) -> int:
        return max(0, PREVIEW_SECONDS - self.uptime)

    def reset(self, *, factory_default: bool) -> None:
        """Parameters as delivered; with `factory_default` also without accounts."""
        description = replace(self.description, model=self.model)
        values = template(description, self.address, self.http_port, self.https_port)
        self.parameters = ParameterStore(values, recommended_policy=self.model.generation == "12")
        self.accounts.clear()
        self.onvif = OnvifUsers()
        self.rest = RestConfig()
        self.applications = Applications()
        if not factory_default:
            self._provision()

    def _provision(self) -> None:
        if self.username != "root" and self.model.quirks.root_only:
            self.accounts.put(Account("root", self.password))
        self.accounts.put(Account(self.username, self.password))

    def restart(self, seconds: float = 0.0, *, down: float = 0.0) -> None:
        """A new boot id; for `down` seconds it hangs up, then for `seconds` it answers 503 and `systemready: no`."""
        self.boot_id = str(uuid.uuid4())
        self._booted_at = time.monotonic()
        self._up_at = self._booted_at + down
        self._ready_at = self._up_at + seconds
        self.gate.forget()

    def change_certificate(self) -> None:
        """Another certificate of its own, as after a repair; connections that stand go on."""
        made = self.certificates.renew(f"axis-{self.serial.lower()}", self.address, self.clock.now())
        if isinstance(self._tls, DeviceTls):
            self._tls.ready()
            load(self._tls, made.certificate.encode(), made.key)

    async def answer_for(self, request: web.Request) -> web.StreamResponse:
        """A request that came to the address of another device."""
        if self._runner is None:
            raise web.HTTPServiceUnavailable
        return await self._runner.app._handle(request)

    def reboot(self) -> None:
        half = self.description.boot_seconds / 2
        self.restart(half, down=half)

    def lose_power(self) -> None:
        """Off and on again: uploads and what was being installed are lost, what was not committed goes back."""
        self.tick()
        if self.firmware.lose_power():
            self._restore()
        self.rest.firewall.lose_power()
        self.reboot()

    def tick(self) -> None:
        """What its clock has brought about since it was last looked at."""
        now = time.monotonic()
        if self.firmware.due(now):
            self._start_installed(now)
        elif self.firmware.must_go_back(now):
            self.roll_back()

    def install(self, version: str, options: Options) -> None:
        """Raises `Refusal`."""
        self.firmware.check(version, options)
        self.firmware.begin(version, options, time.monotonic(), self.description.install_seconds)

    def roll_back(self) -> None:
        """Raises `Refusal` when there is nothing to go back to."""
        self.firmware.go_back()
        self._restore()
        self.reboot()

    def _start_installed(self, now: float) -> None:
        faults = self.upgrade_faults
        kept = (self.parameters.copy(), self.accounts.copy())
        options = self.firmware.swap(now, self.description.boot_seconds)
        self.firmware.settings = kept
        if faults.does_not_start:
            # Two starts: the one that fails, and the one with the image before.
            self.firmware.go_back()
        elif faults.starts_as is not None:
            self.firmware.active = faults.starts_as
        self._show_version()
        if options.factory_default != "none" and not faults.does_not_start:
            self.reset(factory_default=True)
            self._show_ports()
        self.reboot()

    def _restore(self) -> None:
        if self.firmware.settings is not None:
            self.parameters, self.accounts = self.firmware.settings
            self.gate = Gatekeeper(self.serial, self.accounts, self._policy, time.monotonic)
            self.firmware.settings = None
        self._show_version()

    def _show_version(self) -> None:
        self.model = replace(
            self.model, version=self.firmware.active, generation=generation_of(self.firmware.active)
        )
        self.parameters["Properties.Firmware.Version"] = self.firmware.active

    async def start(self) -> None:
        """Listen. Raises `FarsiteError` (`port_taken`)."""
        from farsite_edge.simulator.application import application  # which imports this module

        self.stopping = asyncio.Event()
        runner = web.AppRunner(application(self), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            self.http_port = await self._listen(runner, self.http_port, None)
            if self.https_port is not None:
                self._tls = self._tls or self.certificates.context(
                    f"axis-{self.serial.lower()}", self.address, self.clock.now
                )
                if isinstance(self._tls, DeviceTls):
                    self._tls.instead = lambda: self.impostor.tls if self.impostor else None
                self.https_port = await self._listen(runner, self.https_port, self._tls)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._show_ports()

    def _show_ports(self) -> None:
        self.parameters["System.BoaPort"] = str(self.http_port)
        if self.https_port is not None:
            self.parameters["HTTPS.Port"] = str(self.https_port)

    async def _listen(self, runner: web.AppRunner, port: int, tls: ssl.SSLContext | None) -> int:
        site = web.TCPSite(runner, self._bind, port, ssl_context=tls, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            detail = f"Port {port} of {self._bind} cannot be used ({_reason(error)}). Choose another with --first-port."
            raise FarsiteError(ErrorCode.PORT_TAKEN, detail) from None
        assert site._server is not None  # started above; aiohttp has no public way to the port chosen
        bound: int = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return bound

    async def stop(self) -> None:
        """Refuse connections and end streams."""
        runner, self._runner = self._runner, None
        self._also = []
        self.stopping.set()
        if runner is not None:
            await runner.cleanup()

    async def move(self, address: str) -> None:
        """To another address, as after a change of its settings or of its lease."""
        if not self.running:
            return
        await self.stop()
        self.address = self._bind = address
        await self.start()
        await self.also_at(self._also_address)

    async def also_at(self, address: str | None) -> None:
        """Beside its own address, at one more or none; nothing happens where this machine does not have it."""
        for site in self._also:
            await site.stop()
        self._also, self._also_address = [], address
        if self._runner is None or address is None:
            return
        for port, tls in ((self.http_port, None), (self.https_port, self._tls)):
            if port is None:
                continue
            site = web.TCPSite(self._runner, address, port, ssl_context=tls, reuse_address=True)
            try:
                await site.start()
            except OSError:
                return
            self._also.append(site)

    def _policy(self) -> Policy:
        return Policy(
            authentication=self.parameters.get("Network.HTTP.AuthenticationPolicy", "digest"),
            qop=self.model.quirks.qop,
            throttle=self._throttle(),
        )

    def _throttle(self) -> Throttle | None:
        prefix = "System.PreventDoSAttack."
        if self.parameters.get(prefix + "ActivatePasswordThrottling") != "On":
            return None
        return Throttle(
            failures=max(1, self._number(prefix + "DoSPageCount", 20)),
            interval=self._number(prefix + "DoSPageInterval", 1),
            blocking=self._number(prefix + "DoSBlockingPeriod", 10),
        )

    def _number(self, name: str, default: int) -> int:
        text = self.parameters.get(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else default


def _reason(error: OSError) -> str:
    # asyncio puts a sentence of its own into strerror
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def url_host(address: str) -> str:
    return f"[{address}]" if ip_address(address).version == 6 else address
