"""The CGIs of old that answer in text and small HTML pages: parameters, accounts, restart."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.simulator import network_cgi
from farsite_edge.simulator.accounts import page
from farsite_edge.simulator.definitions import definitions
from farsite_edge.simulator.device import SimulatedDevice
from farsite_edge.simulator.entry import ACCOUNT, require

BOOT_SECONDS = 3.0
_CONTROL = {"action", "group", "usergroup", "responseformat", "responsecharset"}


async def parameters(device: SimulatedDevice, request: web.Request) -> web.Response:
    fields = await _fields(request)
    account = request[ACCOUNT]
    match fields.get("action"):
        case "list":
            return _text(device, device.parameters.list(fields.get("group"), account.level))
        case "listdefinitions":
            return _definitions(device, fields.get("group"), account.level)
        case "update":
            changes = {name: value for name, value in fields.items() if name not in _CONTROL}
            answer = _text(device, device.parameters.update(changes, account.level))
            network_cgi.changed_parameters(device, set(changes))
            return answer
        case _:
            return _text(device, "# Error: unknown or missing action\n")


def _definitions(device: SimulatedDevice, groups: str | None, level: str) -> web.Response:
    body = definitions(device.parameters, groups, level)
    kind = "text/plain" if body.startswith("#") else "text/xml"
    return web.Response(body=body.encode(), content_type=kind)


def _text(device: SimulatedDevice, body: str) -> web.Response:
    charset = "latin-1" if device.model.quirks.latin1 else "utf-8"
    return web.Response(body=body.encode(charset, "replace"), content_type="text/plain")


async def accounts(device: SimulatedDevice, request: web.Request) -> web.Response:
    fields = await _fields(request)
    if device.needs_setup and fields.get("action") in ("add", "update", "remove"):
        return _first_account(device, fields)
    require(device, request, "admin")
    if "pwd" in fields and not device.rest.allows(fields["pwd"]):
        return _page("Error: invalid password.")
    if fields.get("action") == "get":
        return web.Response(text=device.accounts.listing(), content_type="text/plain")
    return _page(device.accounts.perform(fields))


def _first_account(device: SimulatedDevice, fields: dict[str, str]) -> web.Response:
    """The one change that is taken without a login."""
    if fields["action"] != "add":
        return _page("Error: initial admin user must be created first.")
    return _page(device.accounts.perform(fields))


async def own_rights(device: SimulatedDevice, request: web.Request) -> web.Response:
    account = request[ACCOUNT]
    order = ("admin", "operator", "ptz", "viewer")
    primary = "root" if account.name == "root" else "users"
    groups = " ".join([primary, *(group for group in order if group in account.groups)])
    return web.Response(text=f"{account.name}\n{groups}\n", content_type="text/plain")


async def restart(device: SimulatedDevice, request: web.Request) -> web.Response:
    device.restart(BOOT_SECONDS)
    return web.Response(text="<html><body>Restarting</body></html>", content_type="text/html")


async def factory_default(device: SimulatedDevice, request: web.Request) -> web.Response:
    device.reset(factory_default=True)
    device.restart(BOOT_SECONDS)
    return web.Response(text="<html><body>Factory default</body></html>", content_type="text/html")


async def _fields(request: web.Request) -> dict[str, str]:
    posted = await request.post()
    return dict(request.query) | {name: value for name, value in posted.items() if isinstance(value, str)}


def _page(sentence: str) -> web.Response:
    return web.Response(text=page(sentence), content_type="text/html")
