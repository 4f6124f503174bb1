"""Every route of the edge host, tried by everybody: generated from the route table."""

from __future__ import annotations

import re
import ssl
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.identity import Identity, generate_key, make_request
from farsite_signaling.rest import PUBLIC, Route
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, OrgId
from farsite_signaling.wire.rights import Right, Role, rights_of
from tests.edge.conftest import GOOD, SmallCloud, client_tls

ONE = "ACCC8E000001"
PUBLIC_ROUTES = {("GET", "/info"), ("GET", "/healthz"), ("POST", "/claim")}


def routes(edge: RunningEdge) -> list[Route]:
    return edge.host.routes


def guarded(edge: RunningEdge) -> list[Route]:
    return [route for route in routes(edge) if route.need is not PUBLIC]


async def ask(edge: RunningEdge, route: Route, tls: ssl.SSLContext | None, token: str | None = None):
    path = re.sub(r"{\w+}", ONE, route.path)
    headers = {"Authorization": f"Farsite-Grant {token}"} if token else {}
    connector, base = aiohttp.TCPConnector(), edge.url
    if tls is None:
        connector = aiohttp.UnixConnector(str(edge.host.settings.data_dir / "admin.sock"))
        base = "http://localhost"
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.request(route.method, f"{base}/api/v1{path}", ssl=tls or True, json={}) as answer,
    ):
        problem = answer.status >= 400
        if route.path.endswith("download") and not problem:
            return answer.status, {}
        return answer.status, await answer.json() if problem else {}


def test_only_these_routes_are_public(claimed: RunningEdge) -> None:
    assert {(r.method, r.path) for r in routes(claimed) if r.need is PUBLIC} == PUBLIC_ROUTES
    assert all(isinstance(route.need, Right) for route in guarded(claimed))


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_gets_what_its_rights_say(
    role: Role, claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    token = small_cloud.token(small_cloud.grant(client, role))
    with client_tls(client, tmp_path / "client") as tls:
        for route in guarded(claimed):
            status, problem = await ask(claimed, route, tls, token)
            if route.need in rights_of(role):
                assert status not in (401, 403), (route.method, route.path, problem)
            else:
                assert (status, problem["code"], problem["right"]) == (403, "forbidden", route.need)
    entries, _ = await claimed.host.audit.page(None, 500)
    refused = [entry for entry in entries if entry.outcome == "refused" and "right" in entry.details]
    assert len(refused) == len([r for r in guarded(claimed) if r.need not in rights_of(role)])
    assert {entry.actor for entry in refused} <= {client.urn}


async def test_strangers_get_nothing(claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path) -> None:
    client = small_cloud.client()
    good = small_cloud.token(small_cloud.grant(client))
    someone = small_cloud.token(small_cloud.grant(client, sub="urn:farsite:org1:user:bob:device:pc"))
    own_key = SmallCloud().token(small_cloud.grant(client))
    with client_tls(None, tmp_path / "none") as no_certificate, client_tls(client, tmp_path / "c") as tls:
        for route in guarded(claimed):
            for who, token, code in [
                (no_certificate, good, "unauthenticated"),
                (tls, None, "unauthenticated"),
                (tls, "x.y.z", "grant_invalid"),
                (tls, someone, "grant_invalid"),
                (tls, own_key, "grant_invalid"),
            ]:
                status, problem = await ask(claimed, route, who, token)
                assert (status in (401, 403), problem["code"]) == (True, code), (route.path, problem)
    entries, _ = await claimed.host.audit.page(None, 500)
    codes = [entry.details.get("code") for entry in entries if entry.action == "api.request"]
    assert {entry.actor for entry in entries if entry.action == "api.request"} == {client.urn}
    assert set(codes) == {"grant_invalid", "unauthenticated"}


async def test_unclaimed_nothing_but_the_public_routes(tmp_path: Path) -> None:
    async with run_edge(tmp_path) as edge:
        with client_tls(None, tmp_path / "none") as tls:
            for route in guarded(edge):
                status, problem = await ask(edge, route, tls)
                assert (status, problem["code"]) == (409, "not_claimed"), route.path


async def test_the_local_administrator_may_everything(claimed: RunningEdge) -> None:
    for route in guarded(claimed):
        status, problem = await ask(claimed, route, None)
        assert status not in (401, 403), (route.path, problem)


async def test_a_grant_for_some_devices_shows_no_others(
    claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    token = small_cloud.token(small_cloud.grant(client, devices=frozenset({"ACCC8E0000FF"})))
    with client_tls(client, tmp_path / "client") as tls:
        for route in guarded(claimed):
            if "/devices/{id}" in route.path:
                status, problem = await ask(claimed, route, tls, token)
                wanted = "device_unknown" if route.method == "GET" else problem["code"]
                assert (status, problem["code"]) == (404 if route.method == "GET" else status, wanted)
    entries, _ = await claimed.host.audit.page(None, 50)
    hidden = [entry for entry in entries if entry.details.get("device") == ONE]
    assert hidden and all((e.outcome, e.actor) == ("refused", client.urn) for e in hidden)


def dated(cloud: SmallCloud, start: timedelta, life: timedelta) -> Identity:
    key = generate_key()
    name = ClientName(OrgId("org1"), AccountId("ann"), ClientId("laptop"))
    certificate = cloud.ca.issue(
        make_request(key, "laptop"), name, lifetime=life, now=datetime.now(UTC) + start
    )
    return Identity.from_pem(key, certificate)


@pytest.mark.parametrize(
    ("start", "code"),
    [(timedelta(days=-2), "certificate_expired"), (timedelta(hours=2), "clock_skew")],
)
async def test_a_client_certificate_whose_time_is_not_now_is_told_in_words(
    start: timedelta, code: str, claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = dated(small_cloud, start, timedelta(days=1))
    token = small_cloud.token(small_cloud.grant(client))
    status_route = next(route for route in routes(claimed) if route.path == "/status")
    with client_tls(client, tmp_path / "client") as tls:
        status, problem = await ask(claimed, status_route, tls, token)
    assert (status in (400, 401), problem["code"]) == (True, code), problem
    assert re.search(r"\d+ s", problem["detail"])


async def test_a_grant_ends_while_its_connection_stays(
    claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    headers = {"Authorization": f"Farsite-Grant {small_cloud.token(small_cloud.grant(client))}"}
    with client_tls(client, tmp_path / "client") as tls:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            async with session.get(claimed.url + "/api/v1/status", ssl=tls) as answer:
                assert answer.status == 200
            claimed.host._authenticator._clock = lambda: time.time() + 5000
            async with session.get(claimed.url + "/api/v1/status", ssl=tls) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "grant_expired")


async def test_answers_carry_the_headers_of_a_careful_server(claimed: RunningEdge, tmp_path: Path) -> None:
    with client_tls(None, tmp_path / "none") as tls:
        async with aiohttp.ClientSession() as session:
            for url in (
                claimed.url + "/api/v1/info",
                claimed.url + "/api/v1/status",
                claimed.url + "/nothing",
                f"http://127.0.0.1:{claimed.host.http_port}/info",
                f"http://127.0.0.1:{claimed.host.http_port}/x",
            ):
                async with session.get(url, ssl=tls) as answer:
                    assert answer.headers["Server"] == "farsite", url
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert answer.headers["Cache-Control"] == "no-store"
                    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_files_are_their_owners_alone_in_an_open_folder(
    small_cloud: SmallCloud, tmp_path: Path
) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    async with run_edge(folder) as edge:
        await edge.claim(small_cloud.url, GOOD)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert {"edge.db", "edge.db-wal", "admin.sock", "admin.json", "vault.key", "tls.pem"} <= modes.keys()
    assert all(not mode & 0o077 for mode in modes.values()), modes


async def test_claims_that_were_refused_are_written_down(small_cloud: SmallCloud, tmp_path: Path) -> None:
    async with run_edge(tmp_path) as edge, aiohttp.ClientSession() as session:
        with client_tls(None, tmp_path / "none") as tls:
            body = {"cloud_url": small_cloud.url, "code": "canary-code", "again": True}
            async with session.post(edge.url + "/api/v1/claim", json=body, ssl=tls) as answer:
                assert (await answer.json())["code"] == "setup_code_invalid"
        entries, _ = await edge.host.audit.page(None, 5)
        [row] = [entry for entry in entries if entry.action == "edge.claim"]
        assert (row.outcome, row.actor) == ("refused", "lan 127.0.0.1")
        assert row.details == {"code": "setup_code_invalid"}
        assert "canary" not in row.model_dump_json()
