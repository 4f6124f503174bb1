"""Who may come in: the account of a request, or the answer that asks for one."""

from __future__ import annotations

from aiohttp import hdrs, web

from farsite_edge.simulator.accounts import Account
from farsite_edge.simulator.device import SimulatedDevice

ACCOUNT = web.RequestKey("account", Account)
UNAUTHORIZED = "<html><head><title>401 Unauthorized</title></head><body><h1>Unauthorized</h1></body></html>\n"
FORBIDDEN = "<html><head><title>403 Forbidden</title></head><body><h1>Forbidden</h1></body></html>\n"
NOT_FOUND = "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
STARTING = "<html><head><title>503 Starting</title></head><body><h1>Starting</h1></body></html>\n"
_LEVELS = {"viewer": 1, "operator": 2, "admin": 3}


def require(device: SimulatedDevice, request: web.Request, level: str) -> Account:
    """The caller's account. Raises 401 with a challenge, or 403 when it is of too low a level."""
    answer = device.gate.admit(
        request.headers.get(hdrs.AUTHORIZATION), request.method, request.raw_path, request.remote or "",
        secure=request.secure,
    )  # fmt: skip
    if isinstance(answer, str):
        raise web.HTTPUnauthorized(
            text=UNAUTHORIZED, content_type="text/html", headers=_challenge(device, answer)
        )
    if device.upgrade_faults.log_in_lost and not device.firmware.committed:
        challenge = device.gate.challenge(secure=request.secure)
        raise web.HTTPUnauthorized(
            text=UNAUTHORIZED, content_type="text/html", headers=_challenge(device, challenge)
        )
    if _LEVELS.get(answer.level, 0) < _LEVELS[level]:
        raise web.HTTPForbidden(text=FORBIDDEN, content_type="text/html")
    request[ACCOUNT] = answer
    return answer


def _challenge(device: SimulatedDevice, header: str) -> dict[str, str]:
    return {hdrs.WWW_AUTHENTICATE: header} | ({"AXIS-Setup": "vapix"} if device.needs_setup else {})
