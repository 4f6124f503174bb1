"""Certificates of a device by SOAP: what AXIS OS 7.x to 11.5 has, where there is no REST API for them.

The device makes the key (`CreateCertificate2`) and the request for it (`GetPkcs10Request2`) by Axis's own service; lists,
uploads and removals are those of the ONVIF device service. Sources: developer.axis.com, certificate management API; ONVIF
Core, Device Management, certificate management. How sure each is: docs/decisions/0028.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from datetime import datetime
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from farsite_edge.vapix.certificates import MAX_CERTIFICATES, MAX_PEM
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer
from farsite_edge.vapix.soap import CERTIFICATES, DEVICE, SCHEMA, SoapChange, SoapRequest
from farsite_edge.vapix.text import clean

_BEGIN = b"-----BEGIN "
_TIME = "%Y-%m-%dT%H:%M:%S"


class ListStored(SoapRequest[dict[str, str]]):
    """PEM by id, of certificates with a key; empty text for one that cannot be read."""

    action = "GetCertificates"

    def call(self) -> str:
        return "<tds:GetCertificates/>"

    def parse(self, answer: Answer) -> dict[str, str]:
        root = self.answered(answer)
        if root.find(f".//{{{DEVICE}}}GetCertificatesResponse") is None:
            raise bad_answer("no list of certificates")
        entries = root.findall(f".//{{{DEVICE}}}NvtCertificate")[:MAX_CERTIFICATES]
        found = {clean(one.findtext(f"{{{SCHEMA}}}CertificateID"), 200): _pem(one) for one in entries}
        return {name: pem for name, pem in found.items() if name}


def _pem(entry: Element) -> str:
    data = _decoded(entry.findtext(f"{{{SCHEMA}}}Certificate/{{{SCHEMA}}}Data"))
    if data.startswith(_BEGIN):
        return data.decode("ascii", "replace")
    return ssl.DER_cert_to_PEM_cert(data) if data else ""


def _decoded(text: str | None) -> bytes:
    """Base64 with whatever line ends; nothing for what is none."""
    compact = "".join((text or "")[:MAX_PEM].split())
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        return b""


class MakeKey(SoapChange):
    """A new key on the device, under a certificate it signs itself. Refused when the id is in use."""

    action = "CreateCertificate2"

    def __init__(self, name: str, subject: str, since: datetime, until: datetime) -> None:
        self.name = name
        self.subject = subject
        self.since = since
        self.until = until

    def call(self) -> str:
        return (
            f"<acertificates:CreateCertificate2><acertificates:Id>{escape(self.name)}</acertificates:Id>"
            f"{_subject(self.subject)}"
            f"<acertificates:ValidNotBefore>{self.since:{_TIME}}</acertificates:ValidNotBefore>"
            f"<acertificates:ValidNotAfter>{self.until:{_TIME}}</acertificates:ValidNotAfter>"
            "</acertificates:CreateCertificate2>"
        )


class GetRequestFor(SoapRequest[str]):
    """The request for a key that is on the device, PEM."""

    action = "GetPkcs10Request2"

    def __init__(self, name: str, subject: str) -> None:
        self.name = name
        self.subject = subject

    def call(self) -> str:
        return (
            f"<acertificates:GetPkcs10Request2><acertificates:Id>{escape(self.name)}</acertificates:Id>"
            f"{_subject(self.subject)}</acertificates:GetPkcs10Request2>"
        )

    def parse(self, answer: Answer) -> str:
        text = self.answered(answer).findtext(f".//{{{CERTIFICATES}}}Pkcs10Request") or ""
        if _BEGIN.decode() in text[:200]:
            return text.strip()[:MAX_PEM]
        data = _decoded(text)
        if not data:
            raise bad_answer("a certificate request that is none")
        if data.startswith(_BEGIN):
            return data.decode("ascii", "replace")
        lines = base64.encodebytes(data).decode()
        return f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}-----END CERTIFICATE REQUEST-----\n"


def _subject(name: str) -> str:
    return f"<acertificates:Subject><acert:CN>{escape(name)}</acert:CN></acertificates:Subject>"


class LoadSigned(SoapChange):
    """The signed certificate (DER) of a key that is on the device."""

    action = "LoadCertificates"

    def __init__(self, name: str, der: bytes) -> None:
        self.name = name
        self.der = der

    def call(self) -> str:
        return (
            f"<tds:LoadCertificates><tds:NVTCertificate>{_entry(self.name, self.der)}</tds:NVTCertificate>"
            "</tds:LoadCertificates>"
        )


class LoadWithKey(SoapChange):
    """A certificate and its private key (both DER, the key PKCS #1): send it over HTTPS only."""

    action = "LoadCertificateWithPrivateKey"

    def __init__(self, name: str, der: bytes, key: bytes) -> None:
        self.name = name
        self.der = der
        self._key = key

    def call(self) -> str:
        return (
            "<tds:LoadCertificateWithPrivateKey><tds:CertificateWithPrivateKey>"
            f"{_entry(self.name, self.der)}<tt:PrivateKey><tt:Data>{_data(self._key)}</tt:Data></tt:PrivateKey>"
            "</tds:CertificateWithPrivateKey></tds:LoadCertificateWithPrivateKey>"
        )


class DeleteStored(SoapChange):
    """With its key."""

    action = "DeleteCertificates"

    def __init__(self, name: str) -> None:
        self.name = name

    def call(self) -> str:
        return (
            f"<tds:DeleteCertificates><tds:CertificateID>{escape(self.name)}</tds:CertificateID>"
            "</tds:DeleteCertificates>"
        )


def _entry(name: str, der: bytes) -> str:
    return (
        f"<tt:CertificateID>{escape(name)}</tt:CertificateID>"
        f"<tt:Certificate><tt:Data>{_data(der)}</tt:Data></tt:Certificate>"
    )


def _data(content: bytes) -> str:
    return base64.b64encode(content).decode()
