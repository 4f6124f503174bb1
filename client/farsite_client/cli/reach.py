"""Reaching an edge host for one command: through a tunnel, by `--lan ADDRESS`, or beside it by `--lan here`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from farsite_client import lan as network
from farsite_client.cli.invocation import Invocation
from farsite_client.edge import EdgeClient
from farsite_client.edge_hosts import find_edge
from farsite_client.here import data_folder, open_here
from farsite_client.session import connect

Lan = Annotated[
    str | None,
    typer.Option(
        "--lan",
        metavar="ADDRESS",
        help="Reach the edge host on this network, not through a tunnel; 'here' (or its data folder): on this machine, "
        "without the cloud.",
    ),
]


@asynccontextmanager
async def reach(invocation: Invocation, edge: str, lan: str | None) -> AsyncIterator[EdgeClient]:
    if lan is None:
        async with connect(invocation.profile, edge) as session:
            yield session.edge
        return
    if (folder := data_folder(lan)) is not None:
        async with open_here(folder, edge) as client:
            yield client
        return
    async with invocation.cloud() as (cloud, stored):
        stored = await invocation.profile.renewed(cloud)
        edge_host = await find_edge(cloud, stored.organization_id, edge)
        found = await network.ask_info(*network.with_port(lan))
        ticket = await cloud.session(stored.organization_id, edge_host.id, stored.name)
        where = (found.address, found.info.https_port)
        async with network.open_claimed(
            invocation.profile, *where, edge=edge_host.id, grant=ticket.grant
        ) as client:
            yield client
