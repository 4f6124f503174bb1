"""SSDP presence: answers M-SEARCH (UPnP Device Architecture 1.1, 1.3.3) with the place of each description."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farsite_edge.simulator.device import SimulatedDevice, url_host
from farsite_edge.simulator.presence import MulticastPresence

PORT = 1900
BASIC_SERVICE = "urn:axis-com:service:BasicService:1"
MAX_PACKET = 2048


class SsdpPresence(MulticastPresence):
    def __init__(
        self, devices: Sequence[SimulatedDevice], interfaces: Sequence[str] = (), *, port: int = PORT
    ) -> None:
        super().__init__(devices, interfaces, port)

    def answers(self, packet: bytes) -> Iterator[bytes]:
        target = search_target(packet[:MAX_PACKET])
        if target is not None:
            for device in self._devices:
                yield from answers(device, target)


def search_target(packet: bytes) -> str | None:
    """The `ST` of an M-SEARCH, None for any other packet."""
    lines = packet.decode("latin-1").split("\r\n")
    if not lines[0].upper().startswith("M-SEARCH * HTTP/1."):
        return None
    headers = {
        name.strip().upper(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
    }
    return headers.get("ST") if headers.get("MAN", "").strip('"') == "ssdp:discover" else None


def answers(device: SimulatedDevice, target: str) -> Iterator[bytes]:
    if not device.running or device.parameters.get("Network.UPnP.Enabled") != "yes":
        return
    for own in (BASIC_SERVICE, "upnp:rootdevice"):
        if target in (own, "ssdp:all"):
            yield _answer(device, own)


def _answer(device: SimulatedDevice, target: str) -> bytes:
    lines = [
        "HTTP/1.1 200 OK",
        "CACHE-CONTROL: max-age=1800",
        "EXT:",
        f"LOCATION: http://{url_host(device.address)}:{device.http_port}/rootdesc1.xml",
        f"SERVER: Linux/5.15, UPnP/1.0, {device.model.product}/{device.version}",
        f"ST: {target}",
        f"USN: uuid:Upnp-BasicDevice-1_0-{device.serial}::{target}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")
