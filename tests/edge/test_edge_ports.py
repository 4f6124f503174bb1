"""Every route of the edge host, on every way in: only with its right, and never on the discovery ports."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp

from farsite_edge.lan.multicast import Responder
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.rest import Route
from farsite_signaling.wire.rights import ROLE_RIGHTS, Right, Role
from tests.edge.conftest import SmallCloud, client_tls


def path_of(route: Route) -> str:
    return "/api/v1" + re.sub(r"\{[^}]+\}", "B8A44F000001", route.path)


async def test_nothing_of_the_api_is_on_the_discovery_port(tmp_path: Path) -> None:
    async with run_edge(tmp_path) as edge, aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{edge.host.http_port}"
        assert len(edge.host.routes) > 40
        for route in edge.host.routes:
            async with session.request(route.method, base + path_of(route), json={}) as response:
                assert response.status in (404, 405), route.path
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with session.request(method, base + "/info", json={}) as response:
                assert response.status == 405


async def test_every_route_refuses_whoever_lacks_its_right(
    claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    headers = {"Authorization": f"Farsite-Grant {small_cloud.token(small_cloud.grant(client, Role.VIEWER))}"}
    refused = [
        route
        for route in claimed.host.routes
        if isinstance(route.need, Right) and route.need not in ROLE_RIGHTS[Role.VIEWER]
    ]
    assert {"/devices/tasks/factory-default", "/discovery/scans", "/devices/{id}/network"} <= {
        route.path for route in refused
    }
    with client_tls(client, tmp_path / "client") as tls:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            for route in refused:
                url = claimed.url + path_of(route)
                async with session.request(route.method, url, json={}, headers=headers) as response:
                    problem = await response.json()
                    assert (response.status, problem["right"]) == (403, route.need), route.path


def test_only_questions_are_answered_by_multicast() -> None:
    sent: list[bytes] = []
    responder = Responder(lambda: (_ for _ in ()).throw(AssertionError("answered")))  # type: ignore[arg-type]
    responder.connection_made(type("Transport", (), {"sendto": lambda _, data, __: sent.append(data)})())
    for packet in (
        b"",
        b"{}",
        b"\xff" * 1200,
        b'{"type":"claim"}',
        b"M-SEARCH * HTTP/1.1\r\n\r\n",
        b"[" * 5000,
    ):
        responder.datagram_received(packet, ("10.0.0.1", 6801))
    assert sent == []
