"""Certificates of a device (REST `cert` v1, AXIS OS 11.11 and newer), and which one its web server shows (SOAP).

Sources: developer.axis.com (certificate management); the SOAP service `http://www.axis.com/vapix/ws/webserver`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from farsite_edge.vapix.device_config import CallConfig, GetConfig, PatchConfig
from farsite_edge.vapix.errors import Refused, bad_answer
from farsite_edge.vapix.json_api import JSON
from farsite_edge.vapix.request import KIB, Answer, ApiRequest
from farsite_edge.vapix.text import clean

MAX_CERTIFICATES = 200
MAX_PEM = 64 * KIB
SOAP = "http://www.w3.org/2003/05/soap-envelope"
WEB = "http://www.axis.com/vapix/ws/webserver"
CERT = "http://www.axis.com/vapix/ws/cert"


class ListCertificates(GetConfig):
    """PEM by alias."""

    def __init__(self, root: str) -> None:
        super().__init__(f"{root}/certificates")

    def parse(self, answer: Answer) -> dict[str, str]:
        listed = super().parse(answer)
        entries = listed[:MAX_CERTIFICATES] if isinstance(listed, list) else []
        found = {
            clean(one.get("alias"), 200): _pem(one.get("certificate"))
            for one in entries
            if isinstance(one, dict)
        }
        return {alias: pem for alias, pem in found.items() if alias}


def _pem(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_PEM else ""


class CreateCertificate(CallConfig):
    """A new key on the device, with a certificate it signs itself."""

    def __init__(self, root: str, alias: str, subject: str, names: list[str]) -> None:
        data = {"alias": alias, "subject": subject, "subject_alt_names": names, "key_type": "EC-P256"}
        super().__init__(f"{root}/create_certificate", data)


class GetRequest(CallConfig):
    """The request for a key, PEM."""

    def __init__(self, root: str, alias: str) -> None:
        super().__init__(f"{root}/certificates/{alias}/get_csr", {})

    def parse(self, answer: Answer) -> str:
        pem = _pem(super().parse(answer))
        if "CERTIFICATE REQUEST" not in pem:
            raise bad_answer("a certificate request that is none")
        return pem


class InstallCertificate(PatchConfig):
    """The signed certificate of a key that is on the device."""

    def __init__(self, root: str, alias: str, pem: str) -> None:
        super().__init__(f"{root}/certificates/{alias}", {"certificate": pem})


class DeleteCertificate(GetConfig):
    """With its key."""

    method = "DELETE"
    content_type = JSON

    def __init__(self, root: str, alias: str) -> None:
        super().__init__(f"{root}/certificates/{alias}")

    def body(self) -> bytes:
        return json.dumps({}).encode()


@dataclass(frozen=True)
class WebServer:
    """What is read is what is sent back, but for the certificates."""

    tls: bool
    policies: tuple[tuple[str, str], ...]
    ciphers: tuple[str, ...]
    certificates: tuple[str, ...]
    ca_certificates: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


class _Soap(ApiRequest[Any]):
    path = "/vapix/services"
    content_type = "application/soap+xml; charset=utf-8"
    accepts = frozenset({200, 400, 500})

    def call(self) -> str:
        raise NotImplementedError

    def body(self) -> bytes:
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{SOAP}" xmlns:aweb="{WEB}" xmlns:acert="{CERT}">'
            f"<s:Body>{self.call()}</s:Body></s:Envelope>"
        ).encode()

    def answered(self, answer: Answer) -> Element:
        try:
            root = fromstring(answer.body)
        except (ParseError, DefusedXmlException, ValueError):
            raise bad_answer("an answer that is not XML") from None
        fault = root.find(f".//{{{SOAP}}}Fault")
        if fault is not None:
            said = " ".join(clean(part, 200) for part in fault.itertext() if part.strip())
            raise Refused(f"The device refuses: {clean(said, 200)}.")
        if answer.status != 200:
            raise bad_answer(f"HTTP status {answer.status} for {self.path}")
        return root


class GetWebServer(_Soap):
    def call(self) -> str:
        return "<aweb:GetWebServerTlsConfiguration/>"

    def parse(self, answer: Answer) -> WebServer:
        root = self.answered(answer)
        configuration = root.find(f".//{{{WEB}}}Configuration")
        if configuration is None:
            raise bad_answer("web server settings without a configuration")
        policies = configuration.find(f"{{{WEB}}}ConnectionPolicies")
        return WebServer(
            tls=clean(configuration.findtext(f"{{{WEB}}}Tls"), 8) == "true",
            policies=tuple(
                (clean(one.tag.rpartition("}")[2], 20), clean(one.text, 20))
                for one in (policies if policies is not None else ())
            )[:8],
            ciphers=_texts(configuration, f".//{{{CERT}}}Cipher"),
            certificates=_texts(configuration, f".//{{{CERT}}}Certificates/{{{CERT}}}Id"),
            ca_certificates=_texts(configuration, f".//{{{CERT}}}CACertificates/{{{CERT}}}Id"),
            trusted=_texts(configuration, f".//{{{CERT}}}TrustedCertificates/{{{CERT}}}Id"),
        )


def _texts(parent: Element, path: str) -> tuple[str, ...]:
    return tuple(clean(one.text, 200) for one in parent.findall(path)[:MAX_CERTIFICATES] if one.text)


class SetWebServer(_Soap):
    """AXIS OS 12 wants every element of the web server's own in its namespace."""

    def __init__(self, server: WebServer) -> None:
        self.server = server

    def call(self) -> str:
        one = self.server
        policies = "".join(f"<aweb:{name}>{escape(value)}</aweb:{name}>" for name, value in one.policies)
        ciphers = "".join(f"<acert:Cipher>{escape(cipher)}</acert:Cipher>" for cipher in one.ciphers)
        sets = {
            "Certificates": one.certificates,
            "CACertificates": one.ca_certificates,
            "TrustedCertificates": one.trusted,
        }
        chosen = "".join(
            f"<acert:{name}>{''.join(f'<acert:Id>{escape(alias)}</acert:Id>' for alias in aliases)}</acert:{name}>"
            for name, aliases in sets.items()
        )
        return (
            '<aweb:SetWebServerTlsConfiguration><aweb:Configuration name="WebServer">'
            f"<aweb:Tls>{'true' if one.tls else 'false'}</aweb:Tls>"
            f"<aweb:ConnectionPolicies>{policies}</aweb:ConnectionPolicies><aweb:Ciphers>{ciphers}</aweb:Ciphers>"
            f"<aweb:CertificateSet>{chosen}</aweb:CertificateSet>"
            "</aweb:Configuration></aweb:SetWebServerTlsConfiguration>"
        )

    def parse(self, answer: Answer) -> None:
        self.answered(answer)
