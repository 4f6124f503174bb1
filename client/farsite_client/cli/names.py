"""What is typed for edge hosts and devices: serial numbers however they are written, and names on TAB.

Parameters are known by what they are called in the help: `EDGE`, `DEVICE`, `EDGE/DEVICE`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

# b8a44f000001, B8:A4:4F:00:00:01, B8-A4-…, b8a4.4f00.0001: as labels, DHCP servers and switches write them.
_SERIAL = re.compile(
    r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}|[0-9a-f]{4}(\.[0-9a-f]{4}){2}|[0-9a-f]{12}", re.I
)
SECONDS = 2.0
"""TAB waits no longer."""
Complete = Callable[[Any, Any, str], list[str]]


def serial(text: str) -> str:
    """As devices are known: capital letters, nothing between them. What is no serial number stays as it is."""
    return re.sub("[:.-]", "", text).upper() if _SERIAL.fullmatch(text) else text


def understand_names(command: Any) -> None:
    """For `command`, and every command of a group."""
    for child in getattr(command, "commands", {}).values():
        understand_names(child)
    for parameter in command.params:
        shown = parameter.metavar or ""
        if _is_device(parameter, shown):
            parameter.callback = _read_serials(parameter.callback)
            parameter._custom_shell_complete = _offered(_serials)
        elif _is_edge(parameter, shown):
            parameter._custom_shell_complete = _offered(_targets if "/" in shown else _edges)


def _is_device(parameter: Any, shown: str) -> bool:
    return shown.strip("[].") == "DEVICE" or "--device" in parameter.opts


def _is_edge(parameter: Any, shown: str) -> bool:
    if shown.startswith("EDGE"):
        return True
    return bool(parameter.param_type_name == "argument" and parameter.name == "edge")


def _read_serials(before: Any) -> Any:
    def read(ctx: Any, parameter: Any, value: Any) -> Any:
        value = serial(value) if isinstance(value, str) else value
        value = [serial(one) for one in value] if isinstance(value, list | tuple) else value
        return before(ctx, parameter, value) if before else value

    return read


# ---- TAB


def _offered(found: Callable[[Any, Any, str], Any]) -> Complete:
    """A cloud that does not answer, or nobody signed in: nothing is offered, and nothing said in between."""

    def complete(ctx: Any, parameter: Any, incomplete: str) -> list[str]:
        import asyncio

        from farsite_client.cli.invocation import Invocation

        async def ask() -> list[str]:
            async with asyncio.timeout(SECONDS), Invocation(ctx).cloud() as (cloud, stored):
                return list(await found(cloud, stored.organization_id, _typed(ctx, incomplete)))

        try:
            names = asyncio.run(ask())
        except Exception:
            return []
        return [_quoted(name) for name in names if name.casefold().startswith(incomplete.casefold())]

    return complete


def _typed(ctx: Any, incomplete: str) -> Any:
    """What narrows the question: the edge host named before, and the beginning."""
    return {"edge": ctx.params.get("edge"), "begins": incomplete}


async def _edges(cloud: Any, organization: str, typed: Any) -> list[str]:
    return [edge.name async for edge in cloud.edge_hosts(organization)]


async def _serials(cloud: Any, organization: str, typed: Any) -> list[str]:
    from farsite_client.edge_hosts import find_edge

    where = {}
    if typed["edge"]:
        where["edge_host"] = (await find_edge(cloud, organization, typed["edge"])).id
    begins = {"q": typed["begins"]} if typed["begins"] else {}
    found = cloud.devices(organization, page_size=100, **where, **begins)
    return [device.serial async for device in found]


async def _targets(cloud: Any, organization: str, typed: Any) -> list[str]:
    edge, slash, begins = typed["begins"].rpartition("/")
    if not slash:
        return await _edges(cloud, organization, typed)
    devices = await _serials(cloud, organization, {"edge": edge, "begins": begins})
    return [f"{edge}/{device}" for device in devices]


def _quoted(name: str) -> str:
    """bash takes what is offered as it stands; other shells quote by themselves."""
    inside = os.environ.get("_FARSITE_COMPLETE", "").endswith("_bash")
    return re.sub(r"([^\w/.:@%+,=-])", r"\\\1", name) if inside else name
