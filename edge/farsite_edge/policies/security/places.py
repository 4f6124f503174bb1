"""Reads and writes the places of the catalogue: parameters, REST properties, what apps may do, syslog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.security.compare import syslog_found
from farsite_edge.policies.security.facts import SYSLOG as SYSLOG_GROUP
from farsite_edge.policies.security.facts import Facts
from farsite_edge.vapix.device_config import GetConfig, PatchConfig, at
from farsite_edge.vapix.services import DisableSyslog, GetAppSetting, SetAppSetting, SetUpSyslog, SyslogServer

SYSLOG = "cgi:syslog"


async def write(access: DeviceAccess, values: Mapping[str, str]) -> None:
    """Raises `FarsiteError`; some of it may have been taken then."""
    async with access.client() as client:
        if parameters := _of("param", values):
            await client.update_parameters(parameters)
        for place, text in _of("rest", values).items():
            await client.send(_patch(place, text))
        for name, text in _of("apps", values).items():
            await client.send(SetAppSetting(name, text))
        if SYSLOG in values:
            await client.send(_syslog(values[SYSLOG]))


async def differs(access: DeviceAccess, values: Mapping[str, str]) -> str | None:
    """Logs in anew and reads the places: which of them are other than they should be."""
    async with access.client() as client:
        now = await _read(client, values)
    off = [place.partition(":")[2] for place, text in values.items() if now.get(place) != text]
    return f"It reads back otherwise: {', '.join(off)}."[:400] if off else None


async def _read(client: Any, places: Iterable[str]) -> dict[str, str]:
    parameters = [place.removeprefix("param:") for place in places if place.startswith("param:")]
    found = await client.parameters(*parameters) if parameters else await _greet(client, places)
    now = {f"param:{name}": text for name, text in found.items()}
    for place in places:
        if place.startswith("rest:"):
            now[place] = await _rest(client, place)
        elif place.startswith("apps:"):
            now[place] = await client.send(GetAppSetting(place.removeprefix("apps:")))
        elif place == SYSLOG:
            now[place] = await _syslog_now(client)
    return now


async def _greet(client: Any, _places: Iterable[str]) -> dict[str, str]:
    await client.rights()
    return {}


async def _rest(client: Any, place: str) -> str:
    root, _, path = place.removeprefix("rest:").partition("#")
    value = at(await client.send(GetConfig(root)), path)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _patch(place: str, text: str) -> PatchConfig:
    """A property of the API itself by its own path, a deeper one through the entity (both are documented so)."""
    root, _, path = place.partition("#")
    names = path.split(".")
    value: Any = {"true": True, "false": False}.get(text, text)
    if len(names) == 1:
        return PatchConfig(f"{root}/{names[0]}", value)
    for name in reversed(names):
        value = {name: value}
    return PatchConfig(root, value)


async def _syslog_now(client: Any) -> str:
    found = await client.parameters(SYSLOG_GROUP)
    values = {f"param:{name}": text for name, text in found.items()}
    return syslog_found(Facts("", "", secure=False, values=values)) or ""


def _syslog(text: str) -> SetUpSyslog | DisableSyslog:
    if not text:
        return DisableSyslog()
    protocol, _, place = text.partition(" ")
    address, _, port = place.rpartition(":")
    return SetUpSyslog(SyslogServer(address, int(port) if port.isdigit() else 6514, protocol))


def _of(scheme: str, values: Mapping[str, str]) -> dict[str, str]:
    prefix = f"{scheme}:"
    return {place.removeprefix(prefix): text for place, text in values.items() if place.startswith(prefix)}
