"""`/vapix/services` of a simulated device: the calls its firmware generation has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from aiohttp import web
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from farsite_edge.simulator import soap_certificates
from farsite_edge.simulator.soap_certificates import Fault
from farsite_edge.vapix.soap import CERTIFICATES, DEVICE, PREFIXES, SCHEMA, SOAP, WEB

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice

_ENVELOPE = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in PREFIXES.items())


async def soap(device: SimulatedDevice, request: web.Request) -> web.Response:
    try:
        body = fromstring(await request.read()).find(f"{{{SOAP}}}Body")
        call = None if body is None or not len(body) else body[0]
    except (ParseError, DefusedXmlException, ValueError):
        call = None
    if call is None:
        return _fault("s:Sender")
    if device.onvif.deaf and call.tag == f"{{{DEVICE}}}SetUser":
        await asyncio.Event().wait()
    try:
        return _envelope(_answer(device, call))
    except Fault as fault:
        return _fault(str(fault))


def _answer(device: SimulatedDevice, call: Element) -> str:
    soap_certificates.ready(device)
    match call.tag:
        case name if name == f"{{{WEB}}}GetWebServerTlsConfiguration":
            return soap_certificates.web_server(device)
        case name if name == f"{{{WEB}}}SetWebServerTlsConfiguration":
            return soap_certificates.choose_for_web_server(device, call)
        case name if name == f"{{{CERTIFICATES}}}CreateCertificate2":
            return soap_certificates.make(device, call)
        case name if name == f"{{{CERTIFICATES}}}GetPkcs10Request2":
            return soap_certificates.request(device, call)
        case name if name == f"{{{DEVICE}}}GetCertificates":
            return soap_certificates.listed(device)
        case name if name == f"{{{DEVICE}}}LoadCertificates":
            return soap_certificates.load_signed(device, call)
        case name if name == f"{{{DEVICE}}}LoadCertificateWithPrivateKey":
            return soap_certificates.load_with_key(device, call)
        case name if name == f"{{{DEVICE}}}DeleteCertificates":
            return soap_certificates.delete(device, call)
        case name if name == f"{{{DEVICE}}}GetUsers":
            return _users(device)
        case name if name == f"{{{DEVICE}}}SetUser":
            return _set_user(device, call)
    raise Fault("ter:ActionNotSupported")


def _users(device: SimulatedDevice) -> str:
    users = "".join(
        f"<tds:User><tt:Username>{escape(name)}</tt:Username><tt:UserLevel>{level}</tt:UserLevel></tds:User>"
        for name, (_, level) in device.onvif.by_name.items()
    )
    return f"<tds:GetUsersResponse>{users}</tds:GetUsersResponse>"


def _set_user(device: SimulatedDevice, call: Element) -> str:
    def text(name: str) -> str:
        return call.findtext(f"{{{DEVICE}}}User/{{{SCHEMA}}}{name}") or ""

    problem = device.onvif.set(text("Username"), text("Password"), text("UserLevel"))
    if problem is not None:
        raise Fault(problem)
    return "<tds:SetUserResponse/>"


def _envelope(body: str, status: int = 200) -> web.Response:
    text = f"<s:Envelope {_ENVELOPE}><s:Body>{body}</s:Body></s:Envelope>"
    return web.Response(text=text, status=status, content_type="application/soap+xml")


def _fault(code: str) -> web.Response:
    return _envelope(f"<s:Fault><s:Code><s:Value>{code}</s:Value></s:Code></s:Fault>", 400)
