"""mDNS presence: `_axis-video._tcp` and, on newer firmware, `_vapix-http._tcp`/`_vapix-https._tcp`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import ip_address
from types import TracebackType

from zeroconf import Error, InterfaceChoice
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from farsite_edge.simulator.device import SimulatedDevice

_LOG = logging.getLogger(__name__)


class MdnsPresence:
    """Announces devices while entered. `interfaces` are addresses of this machine; none means all."""

    def __init__(self, devices: Sequence[SimulatedDevice], interfaces: Sequence[str] = ()) -> None:
        self._devices = devices
        self._interfaces = list(interfaces)
        self._zeroconf: AsyncZeroconf | None = None

    async def __aenter__(self) -> MdnsPresence:
        self._zeroconf = AsyncZeroconf(interfaces=self._interfaces or InterfaceChoice.All)
        for device in self._devices:
            await self._announce(device)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            await zeroconf.async_close()

    async def _announce(self, device: SimulatedDevice) -> None:
        assert self._zeroconf is not None
        if device.parameters.get("Network.Bonjour.Enabled") != "yes":
            return
        for info in services(device):
            try:
                # Serial numbers make the names unique, so that probing for conflicts would only cost time.
                await self._zeroconf.async_register_service(info, cooperating_responders=True)
            except (Error, OSError, TimeoutError) as error:
                _LOG.warning("mDNS cannot announce %s: %r", device.serial, error)


def services(device: SimulatedDevice) -> list[AsyncServiceInfo]:
    ports = {"_axis-video._tcp.local.": device.http_port}
    if device.model.generation == "12":
        ports["_vapix-http._tcp.local."] = device.http_port
        if device.https_port is not None:
            ports["_vapix-https._tcp.local."] = device.https_port
    return [_service(device, kind, port) for kind, port in ports.items()]


def _service(device: SimulatedDevice, kind: str, port: int) -> AsyncServiceInfo:
    # An instance name is one DNS label: at most 63 bytes.
    name = (
        device.friendly_name.encode()[: 63 - len(device.serial) - 3].decode(errors="ignore").replace(".", " ")
    )
    return AsyncServiceInfo(
        kind,
        f"{name} - {device.serial}.{kind}",
        addresses=[ip_address(device.address).packed],
        port=port,
        properties={"macaddress": device.serial},
        server=f"axis-{device.serial.lower()}.local.",
    )
