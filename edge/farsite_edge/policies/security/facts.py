"""What a basic security policy finds out about a device; only what its settings need is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.kind import Settings, Wanted
from farsite_edge.policies.security import password
from farsite_edge.policies.security.catalogue import CATALOGUE
from farsite_edge.vapix.definitions import Definition, ListDefinitions
from farsite_edge.vapix.device_config import DiscoverApis, GetConfig, at
from farsite_edge.vapix.errors import ApiMissing, Refused
from farsite_edge.vapix.services import GetAppSetting
from farsite_edge.vapix.text import clean

SYSLOG = "API.RemoteSyslog1"
FILTER = "Network.Filter"
BLOCK_SECONDS = "System.PreventDoSAttack.DoSBlockingPeriod"
AUTHENTICATION = "Network.HTTP.AuthenticationPolicy"
CIPHERS, HTTPS_PORT = "HTTPS.Ciphers", "HTTPS.Port"
_EXTRA = {
    "syslog": (SYSLOG,),
    "allowed_addresses": (FILTER,),
    "brute_force_block_seconds": (BLOCK_SECONDS,),
    "strong_ciphers": (CIPHERS,),
    "https_only": (HTTPS_PORT, "HTTPS.Enabled"),
}
_REST = {"allowed_addresses": "firewall"}


@dataclass
class Facts:
    """`values` by place, as the device spells them; `paths` are roots of REST APIs by id; `account` the user name we log
    in with, `address` the device's, `own` ours as it sees it."""

    address: str
    own: str
    secure: bool
    values: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    firewall: Any = None
    root: str = password.UNKNOWN

    def param(self, name: str) -> str | None:
        return self.values.get(f"param:{name}")

    def params(self, pattern: str) -> dict[str, str]:
        """Places and values of the parameters a pattern is of."""
        place = f"param:{pattern}"
        if "*" not in pattern:
            return {place: self.values[place]} if place in self.values else {}
        shape = re.compile(re.escape(place).replace(r"\*", "[0-9]+"))
        return {name: value for name, value in self.values.items() if shape.fullmatch(name)}


async def read(access: DeviceAccess, wanted: Wanted) -> Facts:
    """Raises `FarsiteError` (`device_…`)."""
    await password.settle(access)
    record = access.record
    facts = Facts(record.address, access.own_address(), secure=record.https_port is not None)
    settings = wanted.settings
    async with access.client() as client:
        await _read_parameters(client, settings, facts)
        if settings.get("authentication") == "recommended" and facts.param(AUTHENTICATION):
            facts.definitions = await _definitions(client)
        await _read_rest(client, settings, facts)
        if "unsigned_apps" in settings:
            await _read_apps(client, facts)
        if not facts.values and not facts.paths:
            await client.rights()  # nothing is said about a device that was not asked
    if "root_password" in wanted.settings:
        facts.root = await password.look(access, wanted.secrets.get("root_password", ""))
    return facts


async def _read_parameters(client: Any, settings: Settings, facts: Facts) -> None:
    if names := sorted(_parameters(settings)):
        found = await client.read_parameters(*names)
        facts.values |= {f"param:{name}": value for name, value in found.values.items()}


def _parameters(settings: Settings) -> set[str]:
    """Names of parameters and of groups to read; a `*` asks for the group before it."""
    names: set[str] = set()
    for setting in settings:
        names |= set(_EXTRA.get(setting, ()))
        places = (place for place in CATALOGUE[setting].places if place.startswith("param:"))
        names |= {place.removeprefix("param:") for place in places}
    return {name.partition("*")[0].rpartition(".")[0] if "*" in name else name for name in names}


async def _definitions(client: Any) -> dict[str, Definition]:
    try:
        return dict(await client.send(ListDefinitions([AUTHENTICATION])))
    except Refused:
        return {}


def _apis(settings: Settings) -> set[str]:
    places = (place for setting in settings for place in CATALOGUE[setting].places)
    named = {place.removeprefix("rest:").partition("#")[0] for place in places if place.startswith("rest:")}
    return named | {api for setting, api in _REST.items() if setting in settings}


async def _read_rest(client: Any, settings: Settings, facts: Facts) -> None:
    needed = _apis(settings)
    if not needed or (needed == {"firewall"} and facts.param(f"{FILTER}.Enabled") is not None):
        return
    try:
        facts.paths = await client.send(DiscoverApis())
    except ApiMissing:
        return  # firmware before 11.8
    for api in needed & facts.paths.keys():
        await _read_api(client, api, settings, facts)


async def _read_api(client: Any, api: str, settings: Settings, facts: Facts) -> None:
    data = await client.send(GetConfig(facts.paths[api]))
    if api == "firewall":
        facts.firewall = data
        return
    for place in _places_of(api, settings):
        value = at(data, place.partition("#")[2])
        if isinstance(value, bool):
            facts.values[place] = "true" if value else "false"
        elif isinstance(value, str):
            facts.values[place] = clean(value)


def _places_of(api: str, settings: Settings) -> Iterable[str]:
    for setting in settings:
        for place in CATALOGUE[setting].places:
            if fnmatchcase(place, f"rest:{api}#*"):
                yield place


async def _read_apps(client: Any, facts: Facts) -> None:
    with suppress(Refused):  # before 11.2, and from 13 on
        facts.values["apps:AllowUnsigned"] = await client.send(GetAppSetting("AllowUnsigned"))
