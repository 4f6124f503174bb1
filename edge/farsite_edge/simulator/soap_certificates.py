"""Certificates of a simulated device by SOAP, and which one its web server shows."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.serialization import load_der_private_key

from farsite_edge.simulator.certificate import DeviceKey, DeviceTls
from farsite_edge.simulator.certificates import Stored, choose
from farsite_edge.vapix.soap import CERT, CERTIFICATES, DEVICE, SCHEMA, WEB

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice


class Fault(Exception):
    """Its text is the fault's subcode."""


def ready(device: SimulatedDevice) -> None:
    """Its own certificate is among those it has."""
    if isinstance(device.tls, DeviceTls):
        device.tls.ready()


def _has(device: SimulatedDevice) -> None:
    """Firmware before 7.x answers ONVIF, and has no certificates to be managed this way."""
    if not device.model.quirks.soap_certificates:
        raise Fault("ter:ActionNotSupported")


def make(device: SimulatedDevice, call: Element) -> str:
    _has(device)
    alias = call.findtext(f"{{{CERTIFICATES}}}Id") or ""
    if not alias or alias in device.certificates.stored:
        raise Fault("acertificates:CertificateIdInUseFault")
    name = call.findtext(f"{{{CERTIFICATES}}}Subject/{{{CERT}}}CN") or "axis"
    made = device.certificates.create(alias, name, device.address, device.clock.now())
    data = base64.b64encode(ssl.PEM_cert_to_DER_cert(made.certificate)).decode()
    return (
        f"<acertificates:CreateCertificate2Response><acertificates:Id>{escape(alias)}</acertificates:Id>"
        f"<acertificates:Certificate>{data}</acertificates:Certificate>"
        "</acertificates:CreateCertificate2Response>"
    )


def request(device: SimulatedDevice, call: Element) -> str:
    _has(device)
    alias = call.findtext(f"{{{CERTIFICATES}}}Id") or ""
    if alias not in device.certificates.stored:
        raise Fault("ter:CertificateID")
    lines = device.certificates.request(alias).split("\n")
    data = "\n".join(line for line in lines if not line.startswith("-----"))
    return (
        "<acertificates:GetPkcs10Request2Response>"
        f"<acertificates:Pkcs10Request>{data}</acertificates:Pkcs10Request>"
        "</acertificates:GetPkcs10Request2Response>"
    )


def listed(device: SimulatedDevice) -> str:
    _has(device)
    entries = "".join(
        f"<tds:NvtCertificate><tt:CertificateID>{escape(alias)}</tt:CertificateID><tt:Certificate><tt:Data>"
        f"{base64.encodebytes(ssl.PEM_cert_to_DER_cert(one.certificate)).decode()}"
        "</tt:Data></tt:Certificate></tds:NvtCertificate>"
        for alias, one in device.certificates.stored.items()
    )
    return f"<tds:GetCertificatesResponse>{entries}</tds:GetCertificatesResponse>"


def load_signed(device: SimulatedDevice, call: Element) -> str:
    """Of a key it has: in the place of the certificate that carries it, beside it, or not at all."""
    _has(device)
    store = device.certificates
    alias, pem = _entry(call.find(f"{{{DEVICE}}}NVTCertificate"))
    owner = next((name for name in store.stored if store.fits(name, pem)), None)
    if store.signed_beside is None:
        raise Fault("ter:ActionNotSupported")
    if owner is None or (not store.signed_beside and alias != owner):
        raise Fault("ter:KeysNotMatching")
    if store.signed_beside and alias in store.stored:
        raise Fault("ter:CertificateID")
    store.stored[alias] = Stored(pem, store.stored[owner].key)
    return "<tds:LoadCertificatesResponse/>"


def load_with_key(device: SimulatedDevice, call: Element) -> str:
    _has(device)
    entry = call.find(f"{{{DEVICE}}}CertificateWithPrivateKey")
    alias, pem = _entry(entry)
    data = entry.findtext(f"{{{SCHEMA}}}PrivateKey/{{{SCHEMA}}}Data") if entry is not None else None
    if alias in device.certificates.stored:
        raise Fault("ter:CertificateID")
    try:
        key = load_der_private_key(base64.b64decode(data or ""), None)
    except ValueError:
        raise Fault("ter:CertificateFormat") from None
    if not isinstance(key, DeviceKey):
        raise Fault("ter:UnsupportedPublicKeyAlgorithm")
    device.certificates.stored[alias] = Stored(pem, key)
    return "<tds:LoadCertificateWithPrivateKeyResponse/>"


def delete(device: SimulatedDevice, call: Element) -> str:
    _has(device)
    alias = call.findtext(f"{{{DEVICE}}}CertificateID") or ""
    if alias not in device.certificates.stored:
        raise Fault("ter:CertificateID")
    if alias == device.certificates.bound:
        raise Fault("ter:ReferenceToCertificate")
    device.certificates.forget(alias)
    return "<tds:DeleteCertificatesResponse/>"


def _entry(entry: Element | None) -> tuple[str, str]:
    if entry is None:
        raise Fault("ter:InvalidArgVal")
    data = entry.findtext(f"{{{SCHEMA}}}Certificate/{{{SCHEMA}}}Data") or ""
    try:
        pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(data, validate=True))
    except ValueError:
        raise Fault("ter:CertificateFormat") from None
    return entry.findtext(f"{{{SCHEMA}}}CertificateID") or "", pem


def choose_for_web_server(device: SimulatedDevice, call: Element) -> str:
    _has(device)
    configuration = call.find(f"{{{WEB}}}Configuration")
    if configuration is None or configuration.get("name") != "WebServer":
        raise Fault("ter:TagMismatch")
    alias = configuration.findtext(f".//{{{CERT}}}Certificates/{{{CERT}}}Id")
    if alias not in device.certificates.stored:
        raise Fault("ter:InvalidArgVal")
    choose(device, alias)
    return "<aweb:SetWebServerTlsConfigurationResponse/>"


def web_server(device: SimulatedDevice) -> str:
    _has(device)
    return (
        '<aweb:GetWebServerTlsConfigurationResponse><aweb:Configuration name="WebServer"><aweb:Tls>true</aweb:Tls>'
        "<aweb:ConnectionPolicies><aweb:Admin>HttpAndHttps</aweb:Admin></aweb:ConnectionPolicies>"
        "<aweb:Ciphers><acert:Cipher>ECDHE-ECDSA-AES128-GCM-SHA256</acert:Cipher></aweb:Ciphers>"
        f"<aweb:CertificateSet><acert:Certificates><acert:Id>{escape(device.certificates.bound)}</acert:Id>"
        "</acert:Certificates><acert:CACertificates/><acert:TrustedCertificates/></aweb:CertificateSet>"
        "</aweb:Configuration></aweb:GetWebServerTlsConfigurationResponse>"
    )
