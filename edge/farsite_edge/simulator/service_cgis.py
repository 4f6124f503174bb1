"""Small CGIs that hardening needs: remote syslog, and what apps are allowed to be."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from farsite_edge.simulator.device import SimulatedDevice

_PREFIX = "API.RemoteSyslog1."
_NAMES = {
    "address": "Address",
    "port": "Port",
    "protocol": "Protocol",
    "severity": "Severity",
    "syslogFormat": "SyslogFormat",
}


async def remote_syslog(device: SimulatedDevice, request: web.Request) -> web.Response:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        return _error(4000, "Invalid JSON")
    method, params = body.get("method"), body.get("params", {})
    if method == "setup":
        return _set_up(device, params)
    if method in ("enable", "disable"):
        device.parameters[_PREFIX + "Enabled"] = "true" if method == "enable" else "false"
        return _answer(device, method)
    return _answer(device, method) if method == "status" else _error(2004, "Unknown method")


def _set_up(device: SimulatedDevice, params: Any) -> web.Response:
    servers = params.get("servers") if isinstance(params, dict) else None
    if not isinstance(servers, list) or not servers:
        return _error(2103, "Required parameter missing")
    if len(servers) > 2:
        return _error(2203, "Too many servers specified")
    if not servers[0].get("address"):
        return _error(2103, "Required parameter missing")
    if servers[0].get("protocol", "UDP") not in ("UDP", "TCP", "TLS"):
        return _error(2104, "Invalid parameter value specified")
    for name, parameter in _NAMES.items():
        if name in servers[0]:
            device.parameters[f"{_PREFIX}Server1.{parameter}"] = str(servers[0][name])
    device.parameters[_PREFIX + "Enabled"] = "true"
    return _answer(device, "setup")


def _answer(device: SimulatedDevice, method: str) -> web.Response:
    server = {name: device.parameters[f"{_PREFIX}Server1.{parameter}"] for name, parameter in _NAMES.items()}
    data = {"enabled": device.parameters[_PREFIX + "Enabled"] == "true", "servers": [server]}
    return web.json_response({"apiVersion": "1.2", "method": method, "data": data})


def _error(code: int, message: str) -> web.Response:
    return web.json_response({"apiVersion": "1.2", "error": {"code": code, "message": message}})


async def app_settings(device: SimulatedDevice, request: web.Request) -> web.Response:
    fields = dict(request.query) | {name: str(value) for name, value in (await request.post()).items()}
    if fields.get("name") != "AllowUnsigned":
        return _xml('<reply result="error"><error type="10" message="Unknown parameter"/></reply>')
    if fields.get("action") == "set":
        if fields.get("value") not in ("true", "false"):
            return _xml('<reply result="error"><error type="10" message="Invalid value"/></reply>')
        device.allow_unsigned = fields["value"] == "true"
        return _xml('<reply result="ok"></reply>')
    value = "true" if device.allow_unsigned else "false"
    return _xml(f'<reply result="ok"><param name="AllowUnsigned" value="{value}"/></reply>')


def _xml(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/xml")
