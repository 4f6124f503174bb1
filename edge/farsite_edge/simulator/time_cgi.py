"""`time.cgi` and `ntp.cgi` of a simulated device, and its clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aiohttp import web

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice


@dataclass
class Clock:
    """`offset`: seconds ahead of ours; `dead`: no time server answers, so that it stays so; `iana`: it knows zones by
    name."""

    offset: float = 0.0
    zone: str = "UTC"
    posix: str = "UTC0"
    enabled: bool = True
    from_dhcp: bool = True
    servers: list[str] = field(default_factory=list)
    dead: bool = True
    iana: bool = True

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset)

    def configure(self, params: dict[str, Any]) -> None:
        self.enabled = params.get("enabled") is True
        self.from_dhcp = params.get("serversSource") == "DHCP"
        self.servers = [str(one) for one in params.get("staticServers", self.servers)]
        if self.enabled and not self.dead:
            self.offset = 0.0


async def time(device: SimulatedDevice, request: web.Request) -> web.Response:
    body = await _read(request)
    clock, method, params = device.clock, str(body.get("method")), body.get("params") or {}
    match method:
        case "getDateTimeInfo" | "getAll":
            data = {
                "dateTime": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}",
                "dstEnabled": True,
                "maxYearSupported": 2037,
            }
            data |= {"timeZone": clock.zone} if clock.iana else {"posixTimeZone": clock.posix}
            return _answer(method, data)
        case "setDateTime":
            wanted = datetime.fromisoformat(str(params.get("dateTime")))
            clock.offset = (wanted - datetime.now(UTC)).total_seconds()
        case "setTimeZone" if clock.iana and _known(str(params.get("timeZone"))):
            clock.zone = str(params.get("timeZone"))
        case "setPosixTimeZone":
            clock.posix = str(params.get("posixTimeZone"))
        case "setTimeZone":
            return _error(method, 2002, "Invalid time zone")
        case _:
            return _error(method, 4000, "Unknown method")
    return _answer(method, {})


async def ntp(device: SimulatedDevice, request: web.Request) -> web.Response:
    body = await _read(request)
    clock, method, params = device.clock, str(body.get("method")), body.get("params") or {}
    if method == "setNTPClientConfiguration":
        if len(params.get("staticServers", [])) > 5:
            return _error(method, 4004, "Too many servers")
        clock.configure(params)
        return _answer(method, {})
    if method != "getNTPInfo":
        return _error(method, 4000, "Unknown method")
    client = {
        "enabled": clock.enabled,
        "serversSource": "DHCP" if clock.from_dhcp else "static",
        "staticServers": clock.servers,
        "advertisedServers": [],
        "maxSupportedStaticServers": 5,
        "synced": clock.enabled and not clock.dead,
        "timeOffset": clock.offset,
    }
    return _answer(method, {"client": client})


def _known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return False
    return True


async def _read(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _answer(method: str, data: dict[str, Any]) -> web.Response:
    return web.json_response({"apiVersion": "1.0", "method": method, "data": data})


def _error(method: str, code: int, message: str) -> web.Response:
    error = {"code": code, "message": message}
    return web.json_response({"apiVersion": "1.0", "method": method, "error": error})
