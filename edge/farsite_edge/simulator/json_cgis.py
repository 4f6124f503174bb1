"""The JSON CGIs every Axis device of some age has: who it is, what it offers, whether it is ready."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from farsite_edge.simulator.device import SimulatedDevice
from farsite_edge.simulator.entry import require

_DOCUMENTATION = "https://developer.axis.com/vapix/"
_RESTRICTED = {"Architecture", "Soc", "SocSerialNumber"}


async def basic_device_info(device: SimulatedDevice, request: web.Request) -> web.Response:
    version = device.model.quirks.device_info or "1.0"
    body = await _read(request)
    if body is None:
        return _error(version, None, 4000, "Invalid JSON")
    method = str(body.get("method"))
    if method == "getSupportedVersions":
        return _answer(version, method, {"apiVersions": [version]})
    if method == "getAllUnrestrictedProperties" and device.model.quirks.unrestricted_info:
        return _answer(
            version, None, {"propertyList": _some(device, sorted(_facts(device).keys() - _RESTRICTED))}
        )
    if method not in ("getAllProperties", "getProperties"):
        return _error(version, method, 2004, "Unknown method")
    require(device, request, "operator")
    return _properties(device, version, method, body)


def _properties(device: SimulatedDevice, version: str, method: str, body: dict[str, Any]) -> web.Response:
    if method == "getAllProperties":
        return _answer(version, method, {"propertyList": _facts(device)})
    params = body.get("params")
    wanted = params.get("propertyList") if isinstance(params, dict) else None
    if not isinstance(wanted, list):
        return _error(version, method, 4002, "Required parameter missing")
    return _answer(version, method, {"propertyList": _some(device, [str(name) for name in wanted])})


def _some(device: SimulatedDevice, names: list[str]) -> dict[str, str]:
    return {name: value for name, value in _facts(device).items() if name in names}


def _facts(device: SimulatedDevice) -> dict[str, str]:
    model = device.model
    return {
        "Architecture": model.architecture,
        "ProdNbr": model.number,
        "HardwareID": model.hardware_id,
        "ProdFullName": model.full_name,
        "Version": device.version,
        "ProdType": model.device_type,
        "Soc": model.soc,
        "SocSerialNumber": "",
        "Brand": model.brand,
        "WebURL": device.parameters["Brand.WebURL"],
        "ProdVariant": "",
        "SerialNumber": device.serial,
        "ProdShortName": model.product,
        "BuildDate": model.build_date,
    }


async def api_discovery(device: SimulatedDevice, request: web.Request) -> web.Response:
    body = await _read(request)
    if body is None:
        return _error("1.0", None, 4000, "Invalid JSON")
    method = str(body.get("method"))
    if method == "getSupportedVersions":
        return _answer("1.0", method, {"apiVersions": ["1.0"]})
    if method != "getApiList":
        return _error("1.0", method, 2004, "Unknown method")
    # 9.80 does not say how final an API is
    status = {} if device.model.generation == "9.80" else {"status": "official"}
    apis = [
        {"id": name, "version": version, "name": name.replace("-", " ").title(), "docLink": _DOCUMENTATION}
        | status
        for name, version in device.model.apis
    ]
    return _answer("1.0", method, {"apiList": apis})


async def system_ready(device: SimulatedDevice, request: web.Request) -> web.Response:
    version = device.model.quirks.systemready or "1.0"
    body = await _read(request)
    if body is None:
        return _error(version, None, 1000, "Invalid JSON input")
    method = str(body.get("method"))
    if method == "getsupportedversions":
        return _answer(version, method, {"apiVersions": [version]})
    if method != "systemready":
        return _error(version, method, 4004, "Method not supported")
    return _answer(version, method, _readiness(device))


def _readiness(device: SimulatedDevice) -> dict[str, str]:
    extra = {
        "uptime": str(device.uptime),
        "bootid": device.boot_id,
        "previewmode": str(device.preview_left),
        "passphrasepolicy": "none",
    }
    fields = [
        name for name in device.model.quirks.systemready_fields if name != "previewmode" or device.needs_setup
    ]
    data = {"systemready": _yes(not device.booting), "needsetup": _yes(device.needs_setup)}
    return data | {name: extra[name] for name in fields}


async def _read(request: web.Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _answer(version: str, method: str | None, data: dict[str, Any]) -> web.Response:
    named = {"method": method} if method else {}
    return web.json_response({"apiVersion": version} | named | {"data": data})


def _error(version: str, method: str | None, code: int, message: str) -> web.Response:
    named = {"method": method} if method else {}
    return web.json_response({"apiVersion": version} | named | {"error": {"code": code, "message": message}})


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
