"""`/vapix/services`: SOAP 1.2, the services of Axis's own and the ONVIF device service behind one address.

The account is the device's own, by HTTP. Source: developer.axis.com, certificate management API (AXIS OS 7.x and newer).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, TypeVar
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from farsite_edge.vapix.errors import ApiMissing, Refused, bad_answer
from farsite_edge.vapix.request import KIB, Answer, ApiRequest
from farsite_edge.vapix.text import clean

T = TypeVar("T")
PATH = "/vapix/services"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
DEVICE = "http://www.onvif.org/ver10/device/wsdl"
SCHEMA = "http://www.onvif.org/ver10/schema"
CERT = "http://www.axis.com/vapix/ws/cert"
CERTIFICATES = "http://www.axis.com/vapix/ws/certificates"
WEB = "http://www.axis.com/vapix/ws/webserver"
PREFIXES = {
    "s": SOAP,
    "tds": DEVICE,
    "tt": SCHEMA,
    "acert": CERT,
    "acertificates": CERTIFICATES,
    "aweb": WEB,
}
_ENVELOPE = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in PREFIXES.items())
_UNKNOWN = ("ActionNotSupported", "not implemented", "not recognized", "OptionalActionNotImplemented")
"""How faults call what a device does not have: Axis's and ONVIF's own words, and those of its SOAP library."""


class SoapRequest(ApiRequest[T]):
    """`action` is the call's name without its prefix. Faults are `ApiMissing` when the device does not know the call,
    `Refused` else."""

    path = PATH
    content_type = "application/soap+xml; charset=utf-8"
    accepts = frozenset({200, 400, 500})
    limit = 1024 * KIB
    action: ClassVar[str]

    @abstractmethod
    def call(self) -> str:
        """The element of the call, with the prefixes of `PREFIXES`; values escaped."""

    def body(self) -> bytes:
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope {_ENVELOPE}><s:Body>{self.call()}</s:Body></s:Envelope>'
        ).encode()

    def answered(self, answer: Answer) -> Element:
        try:
            root: Element = fromstring(answer.body)
        except (ParseError, DefusedXmlException, ValueError):
            raise bad_answer("an answer that is not XML") from None
        fault = root.find(f".//{{{SOAP}}}Fault")
        if fault is not None:
            raise self._refused(fault)
        if answer.status != 200:
            raise bad_answer(f"HTTP status {answer.status} for {self.path}")
        return root

    def _refused(self, fault: Element) -> Refused:
        """Code and reason; details are left out, as they may repeat what was sent."""
        told = [*fault.iter(f"{{{SOAP}}}Value"), *fault.iter(f"{{{SOAP}}}Text")]
        said = clean(" ".join(clean(one.text, 100) for one in told[:8]), 200)
        if any(word in said for word in _UNKNOWN):
            return ApiMissing(f"{self.action} of {self.path}")
        return Refused(f"The device refuses: {said or 'a fault without a reason'}.")


class SoapChange(SoapRequest[None]):
    """Nothing is told but that it is done."""

    def parse(self, answer: Answer) -> None:
        self.answered(answer)
