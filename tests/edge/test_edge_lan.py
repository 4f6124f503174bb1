"""The LAN side: who gets which answer on 37080, 37443 and 6801."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from farsite_edge.lan.multicast import PER_SECOND, PER_SOURCE, Budget, Responder
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.wire.edge_api import EdgeInfo, EdgeState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.lan import make_query, parse_answer
from farsite_signaling.wire.rights import Role
from tests.edge.conftest import GOOD, SmallCloud, client_tls

JSON = {"Content-Type": "application/json"}


async def get(edge: RunningEdge, path: str, tls: ssl.SSLContext, method: str = "GET", **options):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{edge.url}/api/v1{path}", ssl=tls, **options) as response,
    ):
        return response.status, await response.json()


def authorized(token: str) -> dict[str, str]:
    return {"Authorization": f"Farsite-Grant {token}"}


async def test_discovery_port_answers_who_it_is_and_nothing_else(tmp_path: Path) -> None:
    async with run_edge(tmp_path) as edge, aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{edge.host.http_port}"
        for path in ("/", "/info"):
            async with session.get(base + path) as response:
                info = EdgeInfo.model_validate_json(await response.read())
                assert info == edge.host.info()
        for path in ("/api/v1/info", "/api/v1/status", "/healthz"):
            async with session.get(base + path) as response:
                assert response.status == 404
        async with session.get(base + "/info", headers={"Host": "evil.example.com"}) as response:
            assert response.status == 403


async def test_unclaimed_only_info_and_claim(tmp_path: Path, small_cloud: SmallCloud) -> None:
    async with run_edge(tmp_path) as edge:
        with client_tls(None, tmp_path / "client") as tls:
            assert (await get(edge, "/info", tls))[1]["state"] == "unclaimed"
            for path in ("/status", "/settings", "/devices", "/audit"):
                status, problem = await get(edge, path, tls)
                assert (status, problem["code"]) == (409, "not_claimed")
            body = {"cloud_url": small_cloud.url, "code": GOOD}
            status, problem = await get(
                edge, "/claim", tls, "POST", data="{}", headers={"Content-Type": "text/plain"}
            )
            assert problem["code"] == "invalid_request"
            status, info = await get(edge, "/claim", tls, "POST", json=body)
            assert (status, info["state"]) == (200, "claimed")
            status, problem = await get(edge, "/claim", tls, "POST", json=body)
            assert (status, problem["code"]) == (409, "already_claimed")


async def test_mutual_tls_and_grant(claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path) -> None:
    client = small_cloud.client()
    token = small_cloud.token(small_cloud.grant(client))
    with client_tls(None, tmp_path) as tls:
        status, problem = await get(claimed, "/status", tls, headers=authorized(token))
        assert (status, problem["code"]) == (401, "unauthenticated")
        assert "client certificate" in problem["detail"]
    with client_tls(client, tmp_path / "client") as tls:
        status, problem = await get(claimed, "/status", tls)
        assert (status, problem["code"]) == (401, "unauthenticated")
        status, answer = await get(claimed, "/status", tls, headers=authorized(token))
        assert (status, answer["state"]) == (200, "claimed")
    stranger = small_cloud.client()
    stranger_grant = small_cloud.grant(client, sub="urn:farsite:org1:user:bob:device:pc")
    with client_tls(stranger, tmp_path / "stranger") as tls:
        status, problem = await get(
            claimed, "/status", tls, headers=authorized(small_cloud.token(stranger_grant))
        )
        assert (status, problem["code"]) == (403, "grant_invalid")
    foreign = small_cloud.client(small_cloud.other_ca)
    failures = (aiohttp.ClientError, ssl.SSLError, OSError)
    with client_tls(foreign, tmp_path / "other") as tls, pytest.raises(failures):
        await get(claimed, "/status", tls, headers=authorized(token))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exp": int(time.time()) - 1000}, "grant_expired"),
        ({"nbf": int(time.time()) + 100_000}, "clock_skew"),
        ({"until": int(time.time()) - 1000}, "grant_expired"),
        ({"aud": "urn:farsite:org1:edge:other"}, "grant_invalid"),
    ],
)
async def test_grants_that_do_not_count(
    change: dict, code: str, claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    token = small_cloud.token(small_cloud.grant(client, **change))
    with client_tls(client, tmp_path / "client") as tls:
        status, problem = await get(claimed, "/status", tls, headers=authorized(token))
    assert status >= 400
    assert problem["code"] == code


async def test_a_session_opened_in_time_lasts_as_long_as_it_says(
    claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade that is waited for on the LAN takes longer than the five minutes a grant may be opened in."""
    now, client = int(time.time()), small_cloud.client()
    times = {"exp": now + 300, "until": now + 43200}
    token, late = (
        small_cloud.token(small_cloud.grant(client, sid=sid, **times)) for sid in ("s-in", "s-late")
    )
    clock = {"ahead": 0.0}
    authenticator = claimed.host._authenticator
    monkeypatch.setattr(authenticator, "_clock", lambda: time.time() + clock["ahead"])

    async def ask(one: str) -> tuple[int, str]:
        status, answer = await get(claimed, "/status", tls, headers=authorized(one))
        return status, answer.get("code", "")

    with client_tls(client, tmp_path / "client") as tls:
        assert await ask(token) == (200, "")
        clock["ahead"] = 7200
        assert await ask(token) == (200, "")
        assert await ask(late) == (403, "grant_expired"), "it was not opened in time"
        assert "s-in" in claimed.host.remote._session_ids(), "the cloud is asked whether it is live"
        clock["ahead"] = 43200 + 301
        assert (await ask(token))[1] == "grant_expired"
        clock["ahead"] = 0
        claimed.host.remote.admission.end("s-in")
        assert (await ask(token))[1] == "session_ended"


async def test_rights_are_checked_and_refusals_audited(
    claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    viewer = authorized(small_cloud.token(small_cloud.grant(client, Role.VIEWER)))
    admin = authorized(small_cloud.token(small_cloud.grant(client)))
    refused = {
        ("PATCH", "/settings"): "edge.manage",
        ("POST", "/discovery"): "device.manage",
        ("POST", "/devices"): "device.manage",
        ("DELETE", "/devices"): "device.manage",
        ("POST", "/devices/log-in"): "device.credentials",
        ("POST", "/devices/set-up"): "device.credentials",
        ("PATCH", "/devices/X/parameters"): "device.manage",
        ("GET", "/audit"): "audit.read",
    }
    with client_tls(client, tmp_path / "client") as tls:
        for (method, path), right in refused.items():
            status, problem = await get(claimed, path, tls, method, headers=viewer)
            assert (status, problem["code"], problem["right"]) == (403, "forbidden", right)
        for path in ("/status", "/settings", "/devices"):
            assert (await get(claimed, path, tls, headers=viewer))[0] == 200
        _, rows = await get(claimed, "/audit?limit=3", tls, headers=admin)
        assert len(rows["rows"]) == 3
        assert rows["rows"][0]["outcome"] == "refused"
        assert rows["rows"][0]["actor"] == client.urn
        _, more = await get(claimed, f"/audit?cursor={rows['next_cursor']}", tls, headers=admin)
        assert {row["id"] for row in rows["rows"]}.isdisjoint(row["id"] for row in more["rows"])


async def test_dns_rebinding(claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path) -> None:
    with client_tls(small_cloud.client(), tmp_path / "client") as tls:
        status, problem = await get(claimed, "/info", tls, headers={"Host": "evil.example.com"})
        assert (status, problem["code"]) == (403, "forbidden")
        for host in ("localhost", "127.0.0.1:1", "[::1]:443", socket.gethostname()):
            assert (await get(claimed, "/info", tls, headers={"Host": host}))[0] == 200


async def test_settings_and_their_audit_row(
    claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    admin = authorized(small_cloud.token(small_cloud.grant(client)))
    body = {"name": "Gate", "remote_access": False, "proxy_address": "http://me:canary@127.0.0.1:9"}
    with client_tls(client, tmp_path / "client") as tls:
        status, shown = await get(claimed, "/settings", tls, "PATCH", json=body, headers=admin)
        assert status == 200
        assert shown == {"name": "Gate", "remote_access": False, "proxy_address": "http://me:***@127.0.0.1:9"}
        assert (await get(claimed, "/settings", tls, headers=admin))[1] == shown
        _, rows = await get(claimed, "/audit", tls, headers=admin)
        assert "canary" not in str(rows)
        row = next(row for row in rows["rows"] if row["action"] == "edge.settings")
        assert row["details"]["remote_access"] is False
        wrong = {"proxy_address": "gopher://canary:canary@x"}
        status, problem = await get(claimed, "/settings", tls, "PATCH", json=wrong, headers=admin)
        assert problem["code"] == "setting_invalid"
        assert "canary" not in str(problem)
        assert (await get(claimed, "/settings", tls, headers=admin))[1] == shown
    assert not any(b"canary" in file.read_bytes() for file in (tmp_path / "edge").iterdir() if file.is_file())


async def test_transfers(claimed: RunningEdge, small_cloud: SmallCloud, tmp_path: Path) -> None:

    client = small_cloud.client()
    headers = authorized(small_cloud.token(small_cloud.grant(client)))
    data = bytes(range(256)) * 12_000
    with client_tls(client, tmp_path / "client") as tls:
        _, answer = await get(
            claimed, "/diagnostics/upload", tls, "POST", data=io.BytesIO(data), headers=headers
        )
        assert answer == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        url = f"{claimed.url}/api/v1/diagnostics/download?bytes={len(data)}&kind=pattern"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=tls, headers=headers) as response:
            assert await response.read() == data
        status, problem = await get(claimed, f"/diagnostics/download?bytes={2**40}", tls, headers=headers)
        assert (status, problem["code"]) == (413, "too_large")


async def test_port_taken_names_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(FarsiteError) as caught:
            async with run_edge(tmp_path, https_port=port):
                pass
    assert caught.value.code is ErrorCode.PORT_TAKEN
    assert str(port) in caught.value.detail
    assert "FARSITE_EDGE_HTTPS_PORT" in caught.value.detail


class _Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self.answers.put_nowait(data)


async def test_multicast_answer(tmp_path: Path) -> None:
    async with run_edge(tmp_path, multicast=True) as edge:
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        transport, asker = await loop.create_datagram_endpoint(_Asker, sock=sock)
        group = (edge.host.settings.multicast_group, edge.host.multicast_port)
        query = make_query("abc")
        for unusable in (query[:200], b"{}".ljust(512), b"\xff" * 512, b"x" * 3000):
            transport.sendto(unusable, group)
        transport.sendto(query, group)
        data = await asyncio.wait_for(asker.answers.get(), 5)
        answer = parse_answer(data)
        assert (answer.token, answer.info) == ("abc", edge.host.info())
        assert len(data) <= 2 * len(query)
        assert asker.answers.empty()
        transport.close()


def test_long_names_are_cut_and_the_edge_host_is_found() -> None:
    info = EdgeInfo(
        id="e" * 64,
        name="👩" * 100,
        organization="👩" * 100,
        state=EdgeState.CLAIMED,
        version="0.1.0",
        protocol_versions=[1],
        https_port=37443,
        fingerprint=":".join(["AA"] * 32),
    )
    sent: list[bytes] = []
    responder = Responder(lambda: info)
    responder.connection_made(type("Transport", (), {"sendto": lambda _, data, __: sent.append(data)})())
    responder.datagram_received(make_query("t" * 64), ("10.0.0.1", 6801))
    assert parse_answer(sent[0]).info.name == "👩" * 50
    assert len(sent[0]) <= 2 * len(make_query("t"))


def test_the_budget_of_answers() -> None:
    now = [0.0]
    budget = Budget(lambda: now[0])
    assert [budget.take("a") for _ in range(PER_SOURCE + 1)] == [True] * PER_SOURCE + [False]
    assert sum(budget.take(f"10.0.0.{n}") for n in range(100)) == PER_SECOND - PER_SOURCE
    now[0] = 1.0
    assert budget.take("a")


async def test_every_route_declares_its_right(tmp_path: Path) -> None:
    async with run_edge(tmp_path) as edge, aiohttp.ClientSession() as session:
        with client_tls(None, tmp_path / "client") as tls:
            async with session.get(edge.url + "/api/openapi.json", ssl=tls) as response:
                document = await response.json()
    public = {
        path
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if operation["x-farsite-right"] == "public"
    }
    assert public == {"/api/v1/info", "/api/v1/claim", "/api/v1/healthz"}
