"""Parameters a hardened device is judged by, beyond those of the common template, by generation (vapix: recorded)."""

from __future__ import annotations

from collections.abc import Iterator

from farsite_edge.simulator.models import DeviceModel
from farsite_signaling.wire.os_versions import version_tuple

_SYSLOG = (
    ("Enabled", "false"),
    ("Server1.Address", ""),
    ("Server1.Port", "514"),
    ("Server1.Protocol", "UDP"),
    ("Server1.Severity", "Warning"),
    ("Server1.SyslogFormat", "RFC5424"),
)
_FILTER = (("Enabled", "no"), ("Input.AcceptAddresses", ""), ("Input.Policy", "allow"))
WEAK = "AES128-GCM-SHA256"
STRONG = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305"


def hardening(model: DeviceModel) -> Iterator[tuple[str, str]]:
    number = version_tuple(model.version)
    if number >= (9, 80):
        yield "Network.RTSPS.Enabled", "no"
        yield "Network.RTSPS.Port", "322"
        yield from ((f"API.RemoteSyslog1.{name}", value) for name, value in _SYSLOG)
    if (9, 80) < number < (12,) and model.generation != "9.80":
        yield from ((f"Network.Filter.{name}", value) for name, value in _FILTER)
    if model.quirks.https and number < (12,):
        yield "HTTPS.AllowTLS1", "no"
        yield "HTTPS.AllowTLS11", "yes"
    if model.quirks.https:
        # Later than in the common template, so that it counts.
        yield "HTTPS.Ciphers", f"{STRONG}:{WEAK}" if number < (12,) else STRONG
