"""`farsite lan`, `claim`, `remote-access`: what is done where the edge host is."""

from __future__ import annotations

import asyncio
import shlex
import time
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import SecretStr

from farsite_client import lan as network
from farsite_client.cli.folders import find_folder
from farsite_client.cli.invocation import Invocation
from farsite_client.edge import EdgeClient
from farsite_client.edge_hosts import find_edge
from farsite_client.lan import HTTP_PORT, FoundEdge, with_port
from farsite_signaling.wire.cloud_api import SetupCode
from farsite_signaling.wire.edge_api import ClaimRequest, EdgeState, EdgeStatus, Settings, SettingsChange
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.lan import LAN_GROUP, LAN_PORT

lan = typer.Typer(add_completion=False, rich_markup_mode=None)
claim = typer.Typer(add_completion=False, rich_markup_mode=None)
remote_access = typer.Typer(add_completion=False, rich_markup_mode=None)

Seconds = Annotated[float, typer.Option(min=0.1, max=60, help="How long to listen for answers.")]
Group = Annotated[str, typer.Option(help="Multicast group, or one host's address.", hidden=True)]
UdpPort = Annotated[int, typer.Option(help="UDP port of the discovery.", hidden=True)]
HttpPort = Annotated[int, typer.Option("--http-port", help="The edge host's HTTP discovery port.")]


ASK_AGAIN = 0.5


class Switch(StrEnum):
    ON = "on"
    OFF = "off"


@lan.command("lan")
def lan_command(
    ctx: typer.Context,
    timeout: Seconds = 2.0,
    group: Group = LAN_GROUP,
    port: UdpPort = LAN_PORT,
) -> None:
    """Edge hosts on this network (multicast, UDP 6801)."""
    invocation = Invocation(ctx)
    found = invocation.run(network.discover(timeout=timeout, group=group, port=port))
    invocation.output.table(
        [{"address": edge.address, **edge.info.model_dump(mode="json")} for edge in found],
        ("NAME", "ADDRESS", "STATE", "VERSION", "ORGANIZATION", "ID"),
        [
            (
                edge.info.name,
                edge.address,
                edge.info.state,
                edge.info.version,
                edge.info.organization,
                edge.info.id,
            )
            for edge in found
        ],
        "No edge host answered. If there is one, name its address: farsite claim ADDRESS --name NAME",
    )


@claim.command("claim")
def claim_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="What the edge host is to be called.")],
    address: Annotated[
        str | None,
        typer.Argument(
            help="Its address, with :PORT if discovery has another one; without it the network is asked."
        ),
    ] = None,
    code_only: Annotated[
        bool, typer.Option("--code-only", help="Print a one-time code to type on the edge host instead.")
    ] = False,
    description: Annotated[str, typer.Option(help="Kept beside the name.")] = "",
    folder: Annotated[str | None, typer.Option(help="Folder it goes to: path, name or id.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--remote-access", help="Switch remote access on at once.")
    ] = False,
    edge_proxy: Annotated[
        str | None, typer.Option(help="Proxy address the edge host reaches the cloud through.")
    ] = None,
    cloud_url: Annotated[
        str | None, typer.Option(help="The cloud's address as the edge host sees it, if it is another.")
    ] = None,
    timeout: Seconds = 2.0,
    http_port: HttpPort = HTTP_PORT,
) -> None:
    """Claim an edge host into the organization: on this network, or with a one-time code.

    The code is good for 15 minutes and works once.
    """
    invocation = Invocation(ctx)
    if code_only:
        made = invocation.run(_code(invocation, name, description, folder))
        _print_code(invocation, cloud_url, allow_remote, *made)
        return
    address, port = with_port(address, http_port) if address else (None, http_port)
    found = invocation.run(_find_unclaimed(address, port, timeout))
    invocation.output.note(f"Claiming {found.info.name} at {found.address} …")
    proxy = SecretStr(edge_proxy) if edge_proxy else None
    invocation.run(
        _claim(invocation, found, name, description, folder, cloud_url, proxy=proxy, remote=allow_remote)
    )
    switch = f"farsite remote-access {shlex.quote(name)} on"
    invocation.output.result(
        {"claimed": True, "name": name, "address": found.address, "remote_access": allow_remote},
        f"{name} is claimed. Remote access is {'on' if allow_remote else f'off: {switch}'}.",
    )


async def _code(
    invocation: Invocation, name: str, description: str, folder: str | None
) -> tuple[SetupCode, str]:
    async with invocation.cloud() as (cloud, stored):
        if folder is not None:
            folder = find_folder(await cloud.folders(stored.organization_id), folder).id
        code = await cloud.setup_code(stored.organization_id, name, description=description, folder=folder)
        return code, stored.url


def _print_code(
    invocation: Invocation, cloud_url: str | None, remote: bool, code: SetupCode, url: str
) -> None:
    command = (
        f"farsite edge claim {code.code} --cloud {cloud_url or url}{' --remote-access' if remote else ''}"
    )
    invocation.output.result(
        {**code.model_dump(mode="json"), "cloud_url": cloud_url or url, "command": command},
        f"Setup code for {code.name}: {code.code} (works once, until {code.expires_at:%H:%M} UTC)",
    )
    invocation.output.line(f"Type on the edge host:  {command}")
    if not remote:
        invocation.output.line("Remote access stays off there unless --remote-access is added to it.")


async def _find_unclaimed(address: str | None, port: int, timeout: float) -> FoundEdge:
    if address is not None:
        found = await network.ask_info(address, port)
        if found.info.state is not EdgeState.UNCLAIMED:
            raise FarsiteError(
                ErrorCode.ALREADY_CLAIMED,
                f"{found.info.name} at {address} already belongs to an organization.",
            )
        return found
    free = [
        edge for edge in await network.discover(timeout=timeout) if edge.info.state is EdgeState.UNCLAIMED
    ]
    if len(free) == 1:
        return free[0]
    if not free:
        raise FarsiteError(
            ErrorCode.NOT_FOUND,
            "No unclaimed edge host answered on this network. Name its address, or use --code-only.",
        )
    addresses = ", ".join(edge.address for edge in free)
    raise FarsiteError(ErrorCode.CONFLICT, f"Several unclaimed edge hosts answered; name one: {addresses}")


async def _claim(
    invocation: Invocation,
    found: FoundEdge,
    name: str,
    description: str,
    folder: str | None,
    cloud_url: str | None,
    *,
    proxy: SecretStr | None,
    remote: bool,
) -> None:
    code, url = await _code(invocation, name, description, folder)
    values = {"cloud_url": cloud_url or url, "code": SecretStr(code.code), "remote_access": remote}
    request = ClaimRequest.model_validate(values | ({"proxy_address": proxy} if proxy else {}))
    async with network.open_unclaimed(found) as edge:
        await edge.claim(request)


@remote_access.command("remote-access")
def remote_access_command(
    ctx: typer.Context,
    edge: Annotated[str, typer.Argument(help="Name or id of the edge host.")],
    switch: Annotated[Switch, typer.Argument(help="on or off")],
    address: Annotated[str | None, typer.Option(help="Its address; without it the network is asked.")] = None,
    timeout: Seconds = 2.0,
    http_port: HttpPort = HTTP_PORT,
    proxy_address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The edge host's way out: http:// or socks5://; empty: none."),
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, max=600, help="Wait until remote access is active.")
    ] = 0,
) -> None:
    """Switch an edge host's remote access on or off, from its own network (TCP 37443)."""
    invocation = Invocation(ctx)
    secret = SecretStr(proxy_address) if proxy_address is not None else None
    change = SettingsChange(remote_access=switch is Switch.ON, proxy_address=secret)
    settings, status = invocation.run(_switch(invocation, edge, change, address, timeout, http_port, wait))
    if status is None:
        invocation.output.result(settings, f"Remote access of {settings.name} is {switch}.")
        return
    state = (
        "active"
        if status.remote_access_active
        else f"not active yet: {status.cloud_detail or status.cloud_state}"
    )
    invocation.output.result(status, f"Remote access of {settings.name} is {switch}, and {state}.")
    if not status.remote_access_active:
        raise typer.Exit(1)


async def _switch(
    invocation: Invocation,
    edge: str,
    change: SettingsChange,
    address: str | None,
    timeout: float,
    port: int,
    wait: float,
) -> tuple[Settings, EdgeStatus | None]:
    async with invocation.cloud() as (cloud, stored):
        stored = await invocation.profile.renewed(cloud)
        edge_host = await find_edge(cloud, stored.organization_id, edge)
        found = await _find(edge_host.id, edge_host.name, address, port, timeout)
        ticket = await cloud.session(stored.organization_id, edge_host.id, stored.name)
        where = (found.address, found.info.https_port)
        async with network.open_claimed(
            invocation.profile, *where, edge=edge_host.id, grant=ticket.grant
        ) as client:
            settings = await client.change_settings(change)
            return settings, await _active(client, wait) if wait and change.remote_access else None


async def _active(client: EdgeClient, wait: float) -> EdgeStatus:
    """How it is when remote access is active, or the time is over."""
    end = time.monotonic() + wait
    while True:
        status = await client.status()
        if status.remote_access_active or time.monotonic() >= end:
            return status
        await asyncio.sleep(ASK_AGAIN)


async def _find(edge: str, name: str, address: str | None, port: int, timeout: float) -> FoundEdge:
    if address is not None:
        return await network.ask_info(*with_port(address, port))
    for found in await network.discover(timeout=timeout):
        if found.info.id == edge:
            return found
    raise FarsiteError(
        ErrorCode.NOT_FOUND,
        f"{name} did not answer on this network. Remote access is switched from there; name its address with "
        "--address if multicast does not reach it.",
    )
