"""What discovery knows of a device."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Method(StrEnum):
    MDNS = "mdns"
    SSDP = "ssdp"
    WS_DISCOVERY = "ws-discovery"
    HTTP = "http"


@dataclass(frozen=True)
class FoundDevice:
    """A device somewhere in this network, merged by serial number (12 upper-case hex digits).

    `address` is the one to use, `addresses` are all that were seen. What no method told is empty; `http_port` is
    None when only HTTPS was seen. Strings come from the device: cleaned and bounded, yet to be escaped where shown.
    """

    serial: str
    address: str
    http_port: int | None = None
    https_port: int | None = None
    by: tuple[Method, ...] = ()
    model: str = ""
    product: str = ""
    device_type: str = ""
    version: str = ""
    setup_required: bool = False
    name: str = ""
    brand: str = ""
    addresses: tuple[str, ...] = ()


@dataclass
class DiscoveryReport:
    """How a discovery went: methods that failed say so in `problems`, the others go on."""

    problems: list[str] = field(default_factory=list)
    probed: int = 0

    def problem(self, text: str) -> None:
        if text not in self.problems and len(self.problems) < 50:
            self.problems.append(text)
