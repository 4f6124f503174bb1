"""Certificates of a simulated device: REST `cert` v1, and the web server's choice by SOAP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farsite_edge.simulator.certificate import DeviceTls, load, self_signed
from farsite_edge.vapix.certificates import CERT, SOAP, WEB

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice

OWN = "Axis-default"
_ID = re.compile(r"<acert:Certificates><acert:Id>([^<]{1,200})</acert:Id>")


@dataclass
class Stored:
    certificate: str
    key: ec.EllipticCurvePrivateKey


@dataclass
class CertificateStore:
    """`deaf`: a new certificate is chosen well and not shown."""

    stored: dict[str, Stored] = field(default_factory=dict)
    bound: str = OWN
    deaf: bool = False

    def create(self, alias: str, name: str, address: str, now: datetime) -> Stored:
        key = ec.generate_private_key(ec.SECP256R1())
        self.stored[alias] = made = Stored(_pem(self_signed(key, name, address, now)), key)
        return made

    def context(self, name: str, address: str, now: Callable[[], datetime]) -> DeviceTls:
        """Of a web server that shows the certificate chosen. `now` is the device's clock."""

        def shown() -> tuple[bytes, ec.EllipticCurvePrivateKey]:
            stored = self.stored.get(self.bound) or self.create(OWN, name, address, now())
            return stored.certificate.encode(), stored.key

        return DeviceTls.of(shown)

    def renew(self, name: str, address: str, now: datetime) -> Stored:
        """Another one of its own, as after a factory default or by somebody's hand."""
        self.bound = OWN
        return self.create(OWN, name, address, now)

    def request(self, alias: str) -> str:
        key = self.stored[alias].key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, alias)])
        signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def fits(self, alias: str, pem: str) -> bool:
        """A certificate is for the key it is installed with."""
        key = self.stored[alias].key
        try:
            return x509.load_pem_x509_certificate(pem.encode()).public_key() == key.public_key()
        except ValueError:
            return False


async def rest(device: SimulatedDevice, request: web.Request) -> web.Response:
    if isinstance(device.tls, DeviceTls):
        device.tls.ready()  # its own certificate is among those it has
    path = request.match_info["path"].strip("/")
    store, parts = device.certificates, path.split("/")
    data = json.loads(await request.read()).get("data") if request.method in ("POST", "PATCH") else None
    alias = parts[1] if len(parts) > 1 else ""
    if path == "certificates" and request.method == "GET":
        return _good(
            [{"alias": one, "certificate": entry.certificate} for one, entry in store.stored.items()]
        )
    if path == "create_certificate" and request.method == "POST" and isinstance(data, dict):
        if data["alias"] in store.stored:
            return _bad(409, 6, "Already exists")
        store.create(data["alias"], f"axis-{device.serial.lower()}", device.address, device.clock.now())
        return _good(None)
    if alias not in store.stored:
        return _bad(404, 2, "Item does not exist")
    if parts[2:] == ["get_csr"]:
        return _good(store.request(alias))
    if request.method == "PATCH" and isinstance(data, dict):
        if not store.fits(alias, str(data.get("certificate"))):
            return _bad(400, 5, "Validation failed")
        store.stored[alias].certificate = str(data["certificate"])
        return _good(None)
    if request.method == "DELETE" and alias != store.bound:
        del store.stored[alias]
        return _good(None)
    return _bad(409, 5, "The certificate is in use")


async def soap(device: SimulatedDevice, request: web.Request) -> web.Response:
    text = (await request.read()).decode()
    if "GetWebServerTlsConfiguration" in text:
        return _envelope(_configuration(device))
    match = _ID.search(text)
    if "SetWebServerTlsConfiguration" not in text or match is None:
        return _fault("ter:ActionNotSupported")
    if '<aweb:Configuration name="WebServer">' not in text:
        return _fault("ter:TagMismatch")
    if match[1] not in device.certificates.stored:
        return _fault("ter:InvalidArgVal")
    choose(device, match[1])
    return _envelope("<aweb:SetWebServerTlsConfigurationResponse/>")


def choose(device: SimulatedDevice, alias: str) -> None:
    """New connections see it; those that stand go on."""
    store = device.certificates
    store.bound = alias
    entry = store.stored[alias]
    if device.tls is None or store.deaf:
        return
    if isinstance(device.tls, DeviceTls):
        device.tls.ready()
    load(device.tls, entry.certificate.encode(), entry.key)


def _configuration(device: SimulatedDevice) -> str:
    return (
        '<aweb:GetWebServerTlsConfigurationResponse><aweb:Configuration name="WebServer"><aweb:Tls>true</aweb:Tls>'
        "<aweb:ConnectionPolicies><aweb:Admin>HttpAndHttps</aweb:Admin></aweb:ConnectionPolicies>"
        "<aweb:Ciphers><acert:Cipher>ECDHE-ECDSA-AES128-GCM-SHA256</acert:Cipher></aweb:Ciphers>"
        f"<aweb:CertificateSet><acert:Certificates><acert:Id>{escape(device.certificates.bound)}</acert:Id>"
        "</acert:Certificates><acert:CACertificates/><acert:TrustedCertificates/></aweb:CertificateSet>"
        "</aweb:Configuration></aweb:GetWebServerTlsConfigurationResponse>"
    )


def _envelope(body: str, status: int = 200) -> web.Response:
    text = f'<s:Envelope xmlns:s="{SOAP}" xmlns:aweb="{WEB}" xmlns:acert="{CERT}"><s:Body>{body}</s:Body></s:Envelope>'
    return web.Response(text=text, status=status, content_type="application/soap+xml")


def _fault(code: str) -> web.Response:
    return _envelope(f"<s:Fault><s:Code><s:Value>{code}</s:Value></s:Code></s:Fault>", 400)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _good(data: Any) -> web.Response:
    return web.json_response({"status": "success"} | ({} if data is None else {"data": data}))


def _bad(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"status": "error", "error": {"code": code, "message": message}}, status=status)
