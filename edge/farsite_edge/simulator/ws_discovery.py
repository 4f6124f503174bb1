"""WS-Discovery presence: answers Probe and Resolve as ONVIF devices do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from farsite_edge.simulator.device import SimulatedDevice, url_host
from farsite_edge.simulator.presence import MulticastPresence

PORT = 3702
MAX_PACKET = 8192
_NAMESPACE = uuid.UUID("5f5a69c2-e0ae-504f-829b-acaee9bdb5c2")
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope '
    'xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl" xmlns:tds="http://www.onvif.org/ver10/device/wsdl">'
    "<SOAP-ENV:Header><a:MessageID>uuid:{message}</a:MessageID><a:RelatesTo>{relates}</a:RelatesTo>"
    "<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>"
    "<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/{kind}Matches</a:Action></SOAP-ENV:Header>"
    "<SOAP-ENV:Body><d:{kind}Matches><d:{kind}Match>"
    "<a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference>"
    "<d:Types>{types}</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{places}</d:XAddrs>"
    "<d:MetadataVersion>1</d:MetadataVersion>"
    "</d:{kind}Match></d:{kind}Matches></SOAP-ENV:Body></SOAP-ENV:Envelope>"
)


@dataclass(frozen=True)
class Question:
    """`kind` is Probe or Resolve."""

    kind: str
    message: str
    types: tuple[str, ...] = ()
    endpoint: str = ""


class WsDiscoveryPresence(MulticastPresence):
    """With `silent_places` a device tells its address only when asked to (Resolve)."""

    def __init__(
        self,
        devices: Sequence[SimulatedDevice],
        interfaces: Sequence[str] = (),
        *,
        port: int = PORT,
        silent_places: bool = False,
    ) -> None:
        super().__init__(devices, interfaces, port)
        self._silent_places = silent_places

    def answers(self, packet: bytes) -> Iterator[bytes]:
        question = read_question(packet)
        if question is not None:
            for device in self._devices:
                yield from answers(device, question, places=not self._silent_places)


def read_question(packet: bytes) -> Question | None:
    if len(packet) > MAX_PACKET:
        return None
    try:
        root: Any = ElementTree.fromstring(packet, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    texts = {
        element.tag.rpartition("}")[2]: (element.text or "").strip()
        for element in root.iter()
        if isinstance(element.tag, str)
    }
    kind = next((name for name in ("Probe", "Resolve") if name in texts), None)
    if kind is None or not texts.get("MessageID"):
        return None
    types = tuple(name.rpartition(":")[2] for name in texts.get("Types", "").split())
    return Question(kind, texts["MessageID"], types, texts.get("Address", ""))


def answers(device: SimulatedDevice, question: Question, *, places: bool = True) -> Iterator[bytes]:
    if not device.running or device.parameters.get("WebService.DiscoveryMode.Discoverable") != "Yes":
        return
    resolving = question.kind == "Resolve"
    asked = question.endpoint == endpoint(device) if resolving else set(question.types) <= set(_types(device))
    if asked:
        yield _answer(device, question, places=places or resolving)


def endpoint(device: SimulatedDevice) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, device.serial)}"


def _types(device: SimulatedDevice) -> tuple[str, ...]:
    return ("NetworkVideoTransmitter", "Device") if device.model.video else ("Device",)


def _answer(device: SimulatedDevice, question: Question, *, places: bool) -> bytes:
    prefix = "onvif://www.onvif.org"
    scopes = [
        f"{prefix}/hardware/{quote(device.model.number)}",
        f"{prefix}/name/{quote(device.friendly_name)}",
    ]
    place = f"http://{url_host(device.address)}:{device.http_port}/onvif/device_service"
    prefixes = {"NetworkVideoTransmitter": "dn", "Device": "tds"}
    return _ENVELOPE.format(
        kind=question.kind,
        message=uuid.uuid4(),
        relates=escape(question.message),
        endpoint=endpoint(device),
        types=" ".join(f"{prefixes[name]}:{name}" for name in _types(device)),
        scopes=" ".join(scopes),
        places=place if places else "",
    ).encode()
