"""Options that choose devices of all sites, and what they mean to the cloud."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import typer

from farsite_client.cli.folders import find_folder
from farsite_client.cloud import CloudClient
from farsite_client.edge_hosts import find_edge
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory_api import View as SavedView

Texts = list[str] | None
Search = Annotated[
    str | None, typer.Option("--search", help="Text in name, serial number, address or model.")
]
Site = Annotated[str | None, typer.Option("--site", "--edge", metavar="EDGE", help="Edge host: name or id.")]
Folder = Annotated[str | None, typer.Option("--folder", help="Folder, with those below it.")]
Model = Annotated[Texts, typer.Option("--model", help="Model (again for more).")]
Type = Annotated[Texts, typer.Option("--type", help="Type of device (again for more).")]
Version = Annotated[Texts, typer.Option("--os-version", help="AXIS OS version (again for more).")]
State = Annotated[
    Texts, typer.Option("--state", "--status", help="reachable, unreachable, … (again for more).")
]
Tag = Annotated[Texts, typer.Option("--tag", help="Tag they have (again for more).")]
SupportEnded = Annotated[
    bool | None, typer.Option("--support-ended/--supported", help="By track of AXIS OS, or by model.")
]
UpdateAvailable = Annotated[
    bool | None, typer.Option("--update-available/--up-to-date", help="Whether a newer AXIS OS is there.")
]
View = Annotated[str | None, typer.Option("--view", help="Saved view to start from: name or id.")]


@dataclass
class Filters:
    """As they were given, in the order of the help."""

    search: Search = None
    site: Site = None
    folder: Folder = None
    model: Model = None
    type: Type = None
    version: Version = None
    state: State = None
    tag: Tag = None
    support_ended: SupportEnded = None
    update_available: UpdateAvailable = None
    view: View = None


@dataclass
class ViewFilters(Filters):
    """What a view is made of: no other view."""

    view: View = field(default=None, init=False)


async def resolved(cloud: CloudClient, organization: str, filters: Filters) -> dict[str, str]:
    """The query of the API; what is given wins over what the view says. Raises `not_found`, `conflict`."""
    query: dict[str, str] = {}
    if filters.view is not None:
        view = find_view(await cloud.views(organization), filters.view)
        query |= view.query | ({"columns": ",".join(view.columns)} if view.columns else {})
    if filters.site is not None:
        query["edge_host"] = (await find_edge(cloud, organization, filters.site)).id
    if filters.folder is not None:
        query["folder"] = find_folder(await cloud.folders(organization), filters.folder).id
    return query | _plain(filters)


def _plain(filters: Filters) -> dict[str, str]:
    query = {} if filters.search is None else {"q": filters.search}
    lists = {
        "model": filters.model,
        "device_type": filters.type,
        "version": filters.version,
        "state": filters.state,
        "tag": filters.tag,
    }
    query |= {name: ",".join(values) for name, values in lists.items() if values}
    flags = {"support_ended": filters.support_ended, "update_available": filters.update_available}
    return query | {name: str(value).lower() for name, value in flags.items() if value is not None}


def find_view(found: list[SavedView], wanted: str, kind: str = "devices") -> SavedView:
    """By id, or by name: one's own before another's."""
    for view in sorted(found, key=lambda one: not one.own):
        if view.kind == kind and wanted in (view.id, view.name):
            return view
    raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no view {wanted!r}. List them: farsite views list")
