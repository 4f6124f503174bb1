"""Which certificate the web server of a device shows: the SOAP service `http://www.axis.com/vapix/ws/webserver`."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from farsite_edge.vapix.certificates import MAX_CERTIFICATES
from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import Answer
from farsite_edge.vapix.soap import CERT, WEB, SoapChange, SoapRequest
from farsite_edge.vapix.text import clean


@dataclass(frozen=True)
class WebServer:
    """What is read is what is sent back, but for the certificates."""

    tls: bool
    policies: tuple[tuple[str, str], ...]
    ciphers: tuple[str, ...]
    certificates: tuple[str, ...]
    ca_certificates: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


class GetWebServer(SoapRequest[WebServer]):
    action = "GetWebServerTlsConfiguration"

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


class SetWebServer(SoapChange):
    """AXIS OS 12 wants every element of the web server's own in its namespace."""

    action = "SetWebServerTlsConfiguration"

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
