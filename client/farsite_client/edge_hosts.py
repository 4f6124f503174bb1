"""Edge hosts by the names people give them."""

from __future__ import annotations

from farsite_client.cloud import CloudClient
from farsite_signaling.wire.cloud_api import EdgeHost
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


async def find_edge(cloud: CloudClient, organization: str, wanted: str) -> EdgeHost:
    """The edge host with this id or, if only one has it, this name. Raises `not_found`, `conflict`."""
    named: list[EdgeHost] = []
    async for edge_host in cloud.edge_hosts(organization):
        if edge_host.id == wanted:
            return edge_host
        if edge_host.name.casefold() == wanted.casefold():
            named.append(edge_host)
    if not named:
        raise FarsiteError(
            ErrorCode.NOT_FOUND, f"No edge host is called {wanted[:100]!r}. See them with: farsite edges"
        )
    if len(named) > 1:
        ids = ", ".join(edge_host.id for edge_host in named)
        raise FarsiteError(
            ErrorCode.CONFLICT, f"{len(named)} edge hosts are called {wanted!r}. Name one by its id: {ids}"
        )
    return named[0]
