"""The web application of a device: who may call what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import format_datetime

from aiohttp import hdrs, web

from farsite_edge.simulator import (
    applications,
    firmware_cgi,
    json_cgis,
    media,
    network_cgi,
    pages,
    report_cgi,
    rest_config,
    service_cgis,
    text_cgis,
    time_cgi,
)
from farsite_edge.simulator.device import SimulatedDevice
from farsite_edge.simulator.doors import elsewhere, is_shut_out
from farsite_edge.simulator.entry import NOT_FOUND, STARTING, require
from farsite_edge.simulator.faults import Fault, hang_up, misbehave
from farsite_edge.simulator.generations import ApiAccess
from farsite_edge.simulator.soap import soap
from farsite_signaling.wire.os_versions import version_tuple

Handler = Callable[[SimulatedDevice, web.Request], Awaitable[web.StreamResponse]]
FIRMWARE_SINCE = (7, 40)
MAX_BODY = 256 * 1024


def application(device: SimulatedDevice) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY)
    app.middlewares.append(_manners(device))
    add = app.router.add_route
    quirks = device.model.quirks
    if quirks.device_info:
        add("*", "/axis-cgi/basicdeviceinfo.cgi", _open(device, json_cgis.basic_device_info))
    if quirks.api_list is ApiAccess.ACCOUNT:
        add("*", "/axis-cgi/apidiscovery.cgi", _guarded(device, json_cgis.api_discovery, "viewer"))
    elif quirks.api_list is ApiAccess.ANONYMOUS:
        add("*", "/axis-cgi/apidiscovery.cgi", _open(device, json_cgis.api_discovery))
    if quirks.systemready:
        add("*", "/axis-cgi/systemready.cgi", _open(device, json_cgis.system_ready))
    if device.model.video:
        for path in ("/axis-cgi/jpg/image.cgi", "/jpg/image.jpg"):
            add("GET", path, _guarded(device, media.snapshot, "viewer"))
        add("GET", "/axis-cgi/mjpg/video.cgi", _guarded(device, media.stream, "viewer"))
    for path in ("/axis-cgi/pwdgrp.cgi", "/axis-cgi/admin/pwdgrp.cgi"):
        add("*", path, _open(device, text_cgis.accounts))
    add("*", "/axis-cgi/param.cgi", _guarded(device, text_cgis.parameters, "viewer"))
    add("GET", "/axis-cgi/usergroup.cgi", _guarded(device, text_cgis.own_rights, "viewer"))
    add("*", "/axis-cgi/restart.cgi", _guarded(device, text_cgis.restart, "admin"))
    if version_tuple(device.version) >= FIRMWARE_SINCE:
        handler = firmware_cgi.firmware
        add("POST", "/axis-cgi/firmwaremanagement.cgi", _guarded(device, handler, "admin"))
    if any(name == "network-settings" for name, _ in device.model.apis):
        add("POST", "/axis-cgi/network_settings.cgi", _guarded(device, network_cgi.network_settings, "admin"))
    add("GET", "/axis-cgi/serverreport.cgi", _guarded(device, report_cgi.server_report, "admin"))
    for path in ("/axis-cgi/factorydefault.cgi", "/axis-cgi/hardfactorydefault.cgi"):
        add("GET", path, _guarded(device, text_cgis.factory_default, "admin"))
    _hardening(device, add)
    add("GET", "/rootdesc1.xml", _open(device, pages.upnp_description))
    add("GET", "/", _open(device, pages.front))
    return app


def _hardening(device: SimulatedDevice, add: Callable[..., object]) -> None:
    add("POST", "/vapix/services", _guarded(device, soap, "admin"))
    if rest_config.apis(device):
        add("GET", "/config/discover", _guarded(device, rest_config.discover, "viewer"))
        add("*", "/config/rest/{api}/{version}{path:.*}", _guarded(device, rest_config.config, "admin"))
    if "API.RemoteSyslog1.Enabled" in device.parameters:
        add("POST", "/axis-cgi/remotesyslog.cgi", _guarded(device, service_cgis.remote_syslog, "admin"))
    apis = {name for name, _ in device.model.apis}
    if "time-service" in apis:
        add("POST", "/axis-cgi/time.cgi", _guarded(device, time_cgi.time, "admin"))
    if "ntp" in apis:
        add("POST", "/axis-cgi/ntp.cgi", _guarded(device, time_cgi.ntp, "admin"))
    if applications.has_applications(device):
        add("*", "/axis-cgi/applications/list.cgi", _guarded(device, applications.list_apps, "admin"))
        add("*", "/axis-cgi/applications/control.cgi", _guarded(device, applications.control, "admin"))
        add("POST", "/axis-cgi/applications/license.cgi", _guarded(device, applications.license_key, "admin"))
        add("POST", "/axis-cgi/applications/upload.cgi", _guarded(device, applications.upload, "admin"))
    if version_tuple(device.version) >= (11, 2):
        add("*", "/axis-cgi/applications/config.cgi", _guarded(device, service_cgis.app_settings, "admin"))


def _open(
    device: SimulatedDevice, handler: Handler
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(device, request)

    return handle


def _guarded(
    device: SimulatedDevice, handler: Handler, level: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        require(device, request, level)
        return await handler(device, request)

    return handle


def _manners(device: SimulatedDevice) -> Callable[..., Awaitable[web.StreamResponse]]:
    """What every answer has: the server's name, 503 while booting, HTML for what is not there."""

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if device.impostor is not None:
            return await device.impostor.answer_for(request)
        device.requests += 1
        device.tick()
        if device.down or is_shut_out(device, request.remote or ""):
            return await hang_up(request)
        if (away := elsewhere(device, request)) is not None:
            return away
        if device.fault is not Fault.NONE:
            challenge = device.gate.challenge(secure=request.secure)
            return await misbehave(device.fault, request, challenge, device.stopping)
        try:
            if device.booting and not request.path.endswith("/systemready.cgi"):
                raise web.HTTPServiceUnavailable(text=STARTING, content_type="text/html")
            response = await handler(request)
        except web.HTTPException as error:
            if error.status == 404:
                error.text, error.content_type = NOT_FOUND, "text/html"
            error.headers[hdrs.SERVER] = device.model.quirks.server
            error.headers[hdrs.DATE] = format_datetime(device.clock.now(), usegmt=True)
            raise
        if not response.prepared:
            response.headers[hdrs.DATE] = format_datetime(device.clock.now(), usegmt=True)
            response.headers[hdrs.SERVER] = device.model.quirks.server
        return response

    return middleware
