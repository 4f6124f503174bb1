"""The cloud's REST API about the inventory, for `CloudClient`: devices of all sites, tags, views, AXIS OS, tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal
from urllib.parse import quote

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.cloud_api import EdgeHost, EdgeHostList
from farsite_signaling.wire.inventory_api import (
    DeviceCounts,
    EdgeTask,
    EdgeTaskDetail,
    EdgeTaskList,
    InventoryDevice,
    InventoryDeviceList,
    OsOverview,
    TagChange,
    TagCount,
    TagCounts,
    TagNames,
    TagsRequest,
    TagsResult,
    View,
    ViewChange,
    ViewList,
    ViewRequest,
)


class InventoryCalls(CloudCalls):
    """`filters` are the fields of `wire.inventory_api.DeviceFilter`; several values have commas between them."""

    # devices

    def devices(
        self, organization: str, *, sort: str = "name", page_size: int = 100, **filters: str
    ) -> AsyncIterator[InventoryDevice]:
        """All of them, fetched page by page as they are read."""
        path = f"{organization_path(organization)}/devices"
        return self._each(
            path, InventoryDeviceList, lambda page: page.devices, page_size, sort=sort, **filters
        )

    async def device(self, organization: str, device: str) -> InventoryDevice:
        """By id or serial number."""
        path = f"{organization_path(organization)}/devices/{_quoted(device)}"
        return await self._ask("GET", path, InventoryDevice)

    async def device_counts(self, organization: str, **filters: str) -> DeviceCounts:
        return await self._ask(
            "GET", f"{organization_path(organization)}/devices/counts", DeviceCounts, query=filters
        )

    def export_devices(
        self,
        organization: str,
        *,
        format: Literal["csv", "json"] = "csv",
        columns: Sequence[str] = (),
        **filters: str,
    ) -> AsyncIterator[bytes]:
        """The file, piece by piece. Raises `cloud_unreachable` when it breaks off."""
        query: dict[str, str] = {"format": format, **filters}
        if columns:
            query["columns"] = ",".join(columns)
        return self._download(f"{organization_path(organization)}/devices/export", query)

    async def os_overview(
        self, organization: str, *, folder: str | None = None, edge_host: str | None = None
    ) -> OsOverview:
        """AXIS OS by model, over all sites or some."""
        given = {"folder": folder, "edge_host": edge_host}
        query = {name: value for name, value in given.items() if value is not None}
        return await self._ask(
            "GET", f"{organization_path(organization)}/inventory/os", OsOverview, query=query
        )

    # tags

    async def tags(self, organization: str) -> list[TagCount]:
        return (await self._ask("GET", f"{organization_path(organization)}/tags", TagCounts)).tags

    async def tag_device(self, organization: str, device: str, change: TagChange) -> list[str]:
        """The tags it has then."""
        path = f"{organization_path(organization)}/devices/{_quoted(device)}/tags"
        return (await self._ask("PATCH", path, TagNames, change)).tags

    async def tag_devices(self, organization: str, devices: Sequence[str], change: TagChange) -> int:
        """By ids; how many have other tags now."""
        body = TagsRequest(devices=list(devices), add=change.add, remove=change.remove)
        path = f"{organization_path(organization)}/devices/tags"
        return (await self._ask("POST", path, TagsResult, body)).changed

    async def tag_edge_host(self, organization: str, edge: str, change: TagChange) -> list[str]:
        path = f"{organization_path(organization)}/edge-hosts/{_quoted(edge)}/tags"
        return (await self._ask("PATCH", path, TagNames, change)).tags

    # edge hosts

    def find_edge_hosts(
        self, organization: str, *, page_size: int = 100, **filters: str
    ) -> AsyncIterator[EdgeHost]:
        """`filters`: fields of `wire.inventory_api.EdgeHostQuery`."""
        path = f"{organization_path(organization)}/edge-hosts"
        return self._each(path, EdgeHostList, lambda page: page.edge_hosts, page_size, **filters)

    async def forget_devices(self, organization: str, edge: str, *, risk_confirmed: bool = False) -> None:
        """Of an edge host that is gone for good. Raises `conflict` while it is online."""
        path = f"{organization_path(organization)}/edge-hosts/{_quoted(edge)}/devices"
        await self._send("DELETE", path, query={"risk_confirmed": str(risk_confirmed).lower()})

    def edge_tasks(
        self, organization: str, *, page_size: int = 100, **filters: str
    ) -> AsyncIterator[EdgeTask]:
        """Newest first. `filters`: `edge_host`, `state`, `kind`."""
        path = f"{organization_path(organization)}/edge-tasks"
        return self._each(path, EdgeTaskList, lambda page: page.tasks, page_size, **filters)

    async def edge_task(self, organization: str, task: str) -> EdgeTaskDetail:
        path = f"{organization_path(organization)}/edge-tasks/{_quoted(task)}"
        return await self._ask("GET", path, EdgeTaskDetail)

    # views

    async def views(self, organization: str) -> list[View]:
        return (await self._ask("GET", f"{organization_path(organization)}/views", ViewList)).views

    async def create_view(self, organization: str, view: ViewRequest) -> View:
        return await self._ask("POST", f"{organization_path(organization)}/views", View, view)

    async def change_view(self, organization: str, view: str, change: ViewChange) -> View:
        path = f"{organization_path(organization)}/views/{_quoted(view)}"
        return await self._ask("PATCH", path, View, change)

    async def remove_view(self, organization: str, view: str) -> None:
        await self._send("DELETE", f"{organization_path(organization)}/views/{_quoted(view)}")


def _quoted(id: str) -> str:
    return quote(id, safe="")
