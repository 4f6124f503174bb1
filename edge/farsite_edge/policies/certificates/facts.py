"""What a certificates policy finds out about a device, and what it makes of it."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from farsite_edge.policies.kind import Finding, Settings
from farsite_edge.vapix.web_server import WebServer
from farsite_signaling.identity.certificates import DAMAGED, load_certificate
from farsite_signaling.identity.device_certificates import device_names, is_issued_by
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.policy_api import PolicyState

PREFIX = "farsite-"
CERTIFICATE, LEFTOVERS = "certificate", "leftovers"
RENEW_AT = 2 / 3
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass
class CertificateFacts:
    """`root` of the REST API, or `soap`. `lacks`: why the device cannot be given certificates. `shown` is the SHA-256 of
    what the web server shows (none: it shows nothing)."""

    authority: str | None
    device: str
    now: datetime
    root: str = ""
    lacks: str = ""
    server: WebServer | None = None
    stored: dict[str, str] = field(default_factory=dict)
    shown: str | None = None
    host_name: str = ""
    addresses: list[str] = field(default_factory=list)

    @property
    def bound(self) -> str:
        return self.server.certificates[0] if self.server and self.server.certificates else ""

    @property
    def ours(self) -> list[str]:
        return [alias for alias in self.stored if alias.startswith(PREFIX)]

    @property
    def leftovers(self) -> list[str]:
        """Not the one shown, nor one of the same key: who removes a certificate removes its key."""
        used = key_of_pem(self.stored.get(self.bound, ""))
        others = [alias for alias in self.ours if alias != self.bound]
        return [alias for alias in others if used is None or key_of_pem(self.stored[alias]) != used]


def pin_of_pem(pem: str) -> str | None:
    try:
        return hashlib.sha256(load_certificate(pem).public_bytes(Encoding.DER)).hexdigest()
    except (FarsiteError, *DAMAGED):
        return None


def key_of_pem(pem: str) -> bytes | None:
    try:
        public = load_certificate(pem).public_key()
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (FarsiteError, *DAMAGED):
        return None


def host_label(text: str) -> str:
    label = text.partition(".")[0]
    return label if _LABEL.fullmatch(label) else ""


def due(certificate: x509.Certificate) -> datetime:
    """When two thirds of its life are over."""
    life: timedelta = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + life * RENEW_AT


def problem_of(pem: str, facts: CertificateFacts) -> str | None:
    """Why a certificate is not good enough; `None` when it is."""
    if facts.authority is None or not is_issued_by(pem, facts.authority):
        return "It is not from the organization's authority."
    certificate = load_certificate(pem)
    if facts.now >= due(certificate):
        return f"It ends on {certificate.not_valid_after_utc:%Y-%m-%d}: due for renewal."
    has = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    wanted = device_names(facts.device, facts.host_name, facts.addresses)
    missing = [str(name.value) for name in wanted if name not in has]
    return f"It does not name {', '.join(missing)}." if missing else None


def usable(facts: CertificateFacts) -> str | None:
    """One of ours that is good and could be shown: left by an attempt before."""
    return next((alias for alias in facts.ours if problem_of(facts.stored[alias], facts) is None), None)


def evaluate(settings: Settings, facts: CertificateFacts) -> list[Finding]:
    found = [_certificate(facts)]
    if settings["remove_old"] and facts.server is not None:
        old = facts.leftovers
        state = PolicyState.DEVIATING if old else PolicyState.COMPLIANT
        if found[0].state is not PolicyState.COMPLIANT:
            state = PolicyState.COMPLIANT  # what is there may still be needed
        found.append(Finding(LEFTOVERS, state, "none", ", ".join(old)[:200]))
    return found


def _certificate(facts: CertificateFacts) -> Finding:
    wanted = "by the organization's authority"
    if facts.authority is None:
        detail = "This edge host is not claimed: there is no authority to sign certificates."
        return Finding(CERTIFICATE, PolicyState.FAILED, wanted, detail=detail)
    if facts.server is None:
        detail = f"The firmware has no interface for certificates that is known here: {facts.lacks}"[:500]
        return Finding(CERTIFICATE, PolicyState.NOT_SUPPORTED, wanted, detail=detail)
    if not facts.server.tls or facts.shown is None:
        detail = "HTTPS is off on the device. Switch it on, with the security policy."
        return Finding(CERTIFICATE, PolicyState.FAILED, wanted, "HTTPS off", detail)
    pem = next((one for one in facts.stored.values() if pin_of_pem(one) == facts.shown), "")
    problem = problem_of(pem, facts) if pem else "It is not from the organization's authority."
    found = (
        facts.shown[:16]
        if not pem
        else f"{facts.bound}, until {load_certificate(pem).not_valid_after_utc:%Y-%m-%d}"
    )
    if problem is None:
        return Finding(CERTIFICATE, PolicyState.COMPLIANT, wanted, found)
    return Finding(CERTIFICATE, PolicyState.DEVIATING, wanted, found, problem)


def new_alias(now: datetime) -> str:
    return f"{PREFIX}{now.astimezone(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
