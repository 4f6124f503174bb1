"""`/config/…` of a simulated device: the APIs it has, and the few that hardening needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from farsite_edge.simulator import certificates, snmp
from farsite_edge.simulator.firewall import Firewall, Invalid

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice

BETA = {"firewall": 1, "lldp": 1, "snmp": 1}
RELEASED = {"cert": 1, "firewall": 1, "lldp": 1, "snmp": 1}
_NEWEST_BETA = {"user-management": 2}


class RestConfig:
    """State of the APIs of one device."""

    def __init__(self) -> None:
        self.firewall = Firewall()
        self.lldp = True
        self.password_policy = "none"

    def allows(self, password: str) -> bool:
        """By the rules for passwords of AXIS OS 12."""
        kinds = (str.isupper, str.islower, str.isdigit, lambda letter: not letter.isalnum())
        match self.password_policy:
            case "length":
                return len(password) >= 15
            case "complex":
                return len(password) >= 12 and all(any(map(kind, password)) for kind in kinds)
        return True

    def get(self, api: str, now: float) -> dict[str, Any]:
        match api:
            case "firewall":
                return self.firewall.shown(now)
            case "lldp":
                return {"activated": self.lldp, "neighbors": []}
        return {"settings": {"passphraseComplexity": {"policy": self.password_policy}}}

    def patch(self, api: str, path: str, data: Any) -> None:
        """Raises `Invalid`."""
        if api == "firewall" and path == "activated" and isinstance(data, bool):
            self.firewall.activated = data
        elif api == "lldp" and path == "activated" and isinstance(data, bool):
            self.lldp = data
        elif api == "user-management" and not path:
            self._set_policy(data)
        else:
            raise Invalid(5, "Validation failed")

    def _set_policy(self, data: Any) -> None:
        try:
            policy = data["settings"]["passphraseComplexity"]["policy"]
        except (KeyError, TypeError):
            raise Invalid(5, "Validation failed") from None
        if policy not in ("none", "length", "complex"):
            raise Invalid(5, "Validation failed")
        self.password_policy = policy


def apis(device: SimulatedDevice) -> dict[str, str]:
    """Version word by id, such as `v1beta`."""
    if device.model.generation == "12":
        return {name: f"v{version}" for name, version in RELEASED.items()} | {
            name: f"v{version}beta" for name, version in _NEWEST_BETA.items()
        }
    if device.model.generation == "11.11":
        return {"cert": "v1"} | {name: f"v{version}beta" for name, version in BETA.items()}
    return {}


async def discover(device: SimulatedDevice, _request: web.Request) -> web.Response:
    listed = {name: {word.removesuffix("beta"): _entry(name, word)} for name, word in apis(device).items()}
    return web.json_response({"framework_version": "1.0", "apis": listed, "device": {}})


def _entry(name: str, word: str) -> dict[str, str]:
    state = "beta" if word.endswith("beta") else "released"
    return {"state": state, "version": f"{word[1]}.0.0", "rest_api": f"/config/rest/{name}/{word}"}


async def config(device: SimulatedDevice, request: web.Request) -> web.Response:
    api, word = request.match_info["api"], request.match_info["version"]
    if apis(device).get(api) != word:
        return _error(404, 1, "Resource not found")
    if api == "cert":
        return await certificates.rest(device, request)
    try:
        return await _perform(device, request, api)
    except Invalid as error:
        return _error(400, error.code, error.message)


async def _perform(device: SimulatedDevice, request: web.Request, api: str) -> web.Response:
    path = request.match_info["path"].strip("/")
    if request.method == "GET":
        whole = snmp.shown(device) if api == "snmp" else device.rest.get(api, device.now())
        return _success(_part(whole, path))
    data = await _data(request)
    if request.method == "PATCH" and api == "snmp":
        snmp.change(device, path, data)
    elif request.method == "PATCH":
        device.rest.patch(api, path, data)
    elif request.method == "POST" and api == "firewall":
        _firewall(device, path, data)
    else:
        return _error(405, 0, "Method not allowed")
    return _success(None)


def _firewall(device: SimulatedDevice, action: str, data: Any) -> None:
    firewall, now = device.rest.firewall, device.now()
    match action:
        case "conf/setRules":
            firewall.set_rules(data, now)
        case "conf/confirmRules":
            firewall.confirm(now)
        case "conf/clearPendingRules":
            firewall.clear()
        case _:
            raise Invalid(1, "Resource not found")


async def _data(request: web.Request) -> Any:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Invalid(11, "Bad content") from None
    if not isinstance(body, dict) or "data" not in body:
        raise Invalid(11, "Bad content")
    return body["data"]


def _part(data: Any, path: str) -> Any:
    for name in path.split("/") if path else ():
        if not isinstance(data, dict) or name not in data:
            raise Invalid(1, "Resource not found")
        data = data[name]
    return data


def _success(data: Any) -> web.Response:
    return web.json_response({"status": "success"} | ({} if data is None else {"data": data}))


def _error(status: int, code: int, message: str) -> web.Response:
    answer = {"status": "error", "error": {"code": code, "message": message}}
    return web.json_response(answer, status=status)
