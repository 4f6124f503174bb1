"""Certificates of a simulated device, and the REST API `cert` v1 for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farsite_edge.simulator.certificate import DeviceKey, DeviceTls, load, self_signed

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice

OWN = "Axis-default"


@dataclass
class Stored:
    certificate: str
    key: DeviceKey


@dataclass
class CertificateStore:
    """`deaf`: a new certificate is chosen well and not shown. `signed_beside`: by SOAP a signed certificate gets an id of
    its own beside the one that carries its key; with `None` there is no way to it but with a key."""

    stored: dict[str, Stored] = field(default_factory=dict)
    bound: str = OWN
    deaf: bool = False
    signed_beside: bool | None = False

    def create(self, alias: str, name: str, address: str, now: datetime) -> Stored:
        key = ec.generate_private_key(ec.SECP256R1())
        self.stored[alias] = made = Stored(_pem(self_signed(key, name, address, now)), key)
        return made

    def context(self, name: str, address: str, now: Callable[[], datetime]) -> DeviceTls:
        """Of a web server that shows the certificate chosen. `now` is the device's clock."""

        def shown() -> tuple[bytes, DeviceKey]:
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

    def forget(self, alias: str) -> None:
        """Its key goes with it, for all that have the same."""
        key = self.stored[alias].key
        self.stored = {name: one for name, one in self.stored.items() if one.key is not key}

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


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _good(data: Any) -> web.Response:
    return web.json_response({"status": "success"} | ({} if data is None else {"data": data}))


def _bad(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"status": "error", "error": {"code": code, "message": message}}, status=status)
