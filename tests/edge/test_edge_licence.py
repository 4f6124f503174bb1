"""After the grace an edge host shows its devices and changes them no more, with and without the cloud."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from farsite_edge.licence import LicenceGate
from farsite_edge.testing import RunningEdge, run_edge
from farsite_signaling.identity.licences import sign_statement
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.licence import LicenceClaims, LicenceState, LicenceStatement
from tests.edge.conftest import FakeDevice, FakeSite, SmallCloud, client_tls

ONE = "ACCC8E000001"
DAY = 86400


@pytest.fixture
async def edge(small_cloud: SmallCloud, tmp_path: Path) -> AsyncIterator[RunningEdge]:
    site = FakeSite(FakeDevice(ONE))
    async with run_edge(tmp_path / "edge", gateway=site.gateway(), poll_interval=3600) as edge:
        await edge.claim(small_cloud.url, "GOOD-CODE")
        yield edge


def statement(cloud: SmallCloud, until: float | None, *, at: float | None = None, **changes: Any) -> str:
    claims = {
        "org": "org1",
        "aud": "urn:farsite:org1:edge:edge1",
        "at": int(time.time() if at is None else at),
        "state": LicenceState.LICENSED,
        "changes_until": None if until is None else int(until),
    }
    return sign_statement(cloud.grant_key, LicenceStatement(**(claims | changes)))


class Caller:
    def __init__(self, edge: RunningEdge, session: aiohttp.ClientSession, grant: str) -> None:
        self._url = f"https://127.0.0.1:{edge.host.https_port}/api/v1"
        self._session = session
        self._headers = {"Authorization": f"Farsite-Grant {grant}"}

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.request(
            method, self._url + path, json=body, headers=self._headers
        ) as response:
            return response.status, await response.json()


async def test_after_the_grace_devices_are_seen_and_not_changed(
    edge: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client = small_cloud.client()
    grant = small_cloud.token(small_cloud.grant(client))
    gate = edge.host.licence
    with client_tls(client, tmp_path) as tls:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            call = Caller(edge, session, grant)
            await gate.take(statement(small_cloud, time.time() - DAY, at=time.time() - 2 * DAY))
            for method, path, body in [
                ("POST", "/devices", {"ids": [ONE]}),
                ("PATCH", f"/devices/{ONE}/parameters", {"values": {"Network.Name": "b"}}),
                ("POST", "/devices/set-up", {"ids": [ONE], "password": "x"}),
                ("POST", "/os/upgrades", {"ids": [ONE]}),
            ]:
                status, answer = await call(method, path, body)
                assert (status, answer["code"]) == (403, "licence_expired"), path
            for path in ("/devices", "/status", "/tasks", "/audit", "/os/inventory"):
                assert (await call("GET", path))[0] == 200, path
            assert (await call("GET", "/status"))[1]["changes_allowed"] is False
            status, _ = await call("POST", "/discovery", {"multicast": True, "timeout": 0.1})
            assert status == 200, "looking for devices changes none"
            status, answer = await call(
                "POST", "/devices/log-in", {"ids": [ONE], "username": "a", "password": "b"}
            )
            assert status == 200
            assert (await call("DELETE", "/devices", {"ids": [ONE]}))[0] == 200, (
                "the way out of having too many"
            )
            await gate.take(statement(small_cloud, time.time() + DAY))
            assert (await call("POST", "/devices", {"ids": [ONE]}))[0] == 200
            assert (await call("GET", "/status"))[1]["licence"] == "licensed"
    entries, _ = await edge.host.audit.page(None, 50)
    refused = [one for one in entries if one.details.get("code") == "licence_expired"]
    assert len(refused) == 4 and all(one.outcome == "refused" for one in refused)


async def test_a_grant_tells_of_a_renewed_licence_when_the_cloud_is_out_of_reach(
    edge: RunningEdge, small_cloud: SmallCloud, tmp_path: Path
) -> None:
    client, now = small_cloud.client(), int(time.time())
    await edge.host.licence.take(statement(small_cloud, now - DAY, at=now - 2 * DAY))
    renewed = LicenceClaims(org="org1", at=now, state=LicenceState.LICENSED, changes_until=now + 90 * DAY)
    grant = small_cloud.token(small_cloud.grant(client, licence=renewed))
    with client_tls(client, tmp_path) as tls:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            assert (await Caller(edge, session, grant)("POST", "/devices", {"ids": [ONE]}))[0] == 200


async def test_this_machines_administrator_is_bound_by_it_too(
    edge: RunningEdge, small_cloud: SmallCloud
) -> None:
    await edge.host.licence.take(statement(small_cloud, time.time() - DAY, at=time.time() - 2 * DAY))
    assert edge.host._held("os.upgrade") and edge.host._held("discovery.scan") is None


async def test_statements_of_others_and_older_ones_change_nothing(
    edge: RunningEdge, small_cloud: SmallCloud
) -> None:
    gate, now = edge.host.licence, time.time()
    await gate.take(statement(small_cloud, now + DAY))
    for wrong in (
        statement(SmallCloud(), None, at=now + 9),
        statement(small_cloud, None, at=now + 9, aud="urn:farsite:org1:edge:edge2"),
        "x.y.z",
        "",
    ):
        with pytest.raises(FarsiteError, match="not signed"):
            await gate.take(wrong)
    await gate.take(statement(small_cloud, None, at=now - DAY))
    await gate.take(statement(small_cloud, None, at=now + DAY, org="org2"))
    assert gate._claims is not None and gate._claims.changes_until == int(now + DAY)


async def test_it_is_kept_over_restarts_and_clocks_set_back(
    edge: RunningEdge, small_cloud: SmallCloud
) -> None:
    now = time.time()
    await edge.host.licence.take(statement(small_cloud, now + DAY))
    clock = [now]
    facts, keeper = edge.host.core.facts, edge.host.keeper

    def restarted() -> LicenceGate:
        gate = LicenceGate(facts, keeper, lambda: clock[0])
        gate.load()
        return gate

    gate = restarted()
    assert gate.refusal() is None
    clock[0] = now + 2 * DAY
    assert gate.refusal() is not None and gate.state is LicenceState.EXPIRED
    gate._seen = clock[0]
    assert gate._claims is not None
    await gate._keep(gate._claims)
    clock[0] = now - 300 * DAY
    assert restarted().refusal() is not None, "the time it was is remembered"
    assert gate.refusal() is not None


async def test_an_unlicensed_cloud_takes_every_limit_back(edge: RunningEdge, small_cloud: SmallCloud) -> None:
    gate, now = edge.host.licence, time.time()
    await gate.take(statement(small_cloud, now - DAY, at=now - 2 * DAY))
    assert gate.refusal() is not None
    await gate.take(statement(small_cloud, None, at=now, state=LicenceState.UNLICENSED))
    assert gate.refusal() is None and gate.state is LicenceState.UNLICENSED
