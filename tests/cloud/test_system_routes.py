from __future__ import annotations

import json
import re
import sqlite3
import ssl

import aiohttp
import pytest
import trustme
from aiohttp import TCPConnector
from sqlalchemy import event

from farsite_cloud.api.system import description
from farsite_cloud.api.table import route_table
from farsite_cloud.testing import run_cloud


async def _get(world, path: str, **more):
    async with world.http.get(world.running.url + path, **more) as response:
        return response.status, response.headers, await response.text()


async def test_health_and_version(world):
    assert (await _get(world, "/healthz"))[0] == 200
    status, _, text = await _get(world, "/readyz")
    assert (status, json.loads(text)["status"]) == (200, "ok")
    assert "relay is off" in json.loads(text)["warnings"][0]
    assert json.loads((await _get(world, "/version"))[2])["protocol_versions"]


async def test_metrics_count_requests_by_route_and_name_nobody(world):
    await world.stranger("GET", "/organizations/canary-id/edge-hosts")
    await world.setup_code()
    status, headers, text = await _get(world, "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert re.search(
        r'farsite_request_seconds_count{.*route="/api/v1/organizations/{org}/edge-hosts".*} 1', text
    )
    assert 'farsite_acts_total{action="setup_code.created",outcome="allowed"} 1.0' in text
    assert "farsite_peers_online 0.0" in text
    assert "canary-id" not in text and world.owner.org not in text


async def test_the_api_describes_itself(world):
    _, _, text = await _get(world, "/api/openapi.json")
    document = json.loads(text)
    assert document["openapi"] == "3.1.0"
    assert document == json.loads(json.dumps(description(route_table())))
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    references = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert references <= set(document["components"]["schemas"])


async def test_the_page_loads_nothing_from_elsewhere(world):
    status, headers, text = await _get(world, "/api/docs")
    assert status == 200
    assert "<script" not in text and "http://" not in text and "https://" not in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert (await _get(world, "/api/docs.css"))[1]["Content-Type"].startswith("text/css")


async def test_every_answer_has_security_headers(world):
    for path in ("/api/v1/me", "/api/v1/none", "/healthz", "/api/docs", "/none"):
        _, headers, _ = await _get(world, path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "farsite"
        assert "Strict-Transport-Security" not in headers


async def test_the_host_header_is_not_believed(world):
    async with world.http.post(
        f"{world.running.url}/api/v1/claims",
        json={"code": await world.setup_code(), "csr": "x"},
        headers={"Host": "evil.example.com"},
    ) as response:
        assert "evil" not in await response.text()
    client = await world.client()
    assert client.urn
    assert "evil" not in world.running.cloud.urls.hub


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'{"name": 1}',
        b'{"name": "x", "extra": true}',
        b'{"name": ""}',
        b'{"name": "' + b"x" * 101 + b'"}',
        b'{"name": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_malformed_bodies_get_a_problem(world, body):
    reply = await world.owner("POST", "~/setup-codes", body)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.body["errors"]


async def test_huge_bodies_are_not_read(world):
    reply = await world.owner("POST", "~/setup-codes", b"x" * 300_000)
    assert (reply.status, reply.code) == (413, "too_large")


async def test_wrong_methods_name_the_right_ones(world):
    reply = await world.owner("PUT", "/me")
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET,PATCH"


async def test_a_full_disk_and_a_busy_database_are_told(world):
    def fail(text: str):
        def listener(connection, cursor, statement, *rest):
            if statement.startswith("INSERT INTO setup_codes"):
                raise sqlite3.OperationalError(text)

        return listener

    engine = world.services.database.engine.sync_engine
    for text, status, code in [
        ("database or disk is full", 507, "disk_full"),
        ("database is locked", 503, "unavailable"),
        ("disk I/O error", 503, "storage_failed"),
    ]:
        listener = fail(text)
        event.listen(engine, "before_cursor_execute", listener)
        reply = await world.owner("POST", "~/setup-codes", {"name": "x"})
        event.remove(engine, "before_cursor_execute", listener)
        assert (reply.status, reply.code) == (status, code), reply.text
    assert await world.audit("setup_code.created") == []
    await world.setup_code()


async def test_addresses_behind_a_trusted_proxy(world_in):
    world = await world_in(None, trusted_proxies="127.0.0.1, 10.0.0.0/8")
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 10.1.2.3"}
    await world.owner("POST", "~/setup-codes", {"name": "x"}, headers=forwarded)
    [row] = await world.audit("setup_code.created")
    assert row["source"] == "198.51.100.7"


async def test_forwarded_addresses_of_others_are_not_believed(world):
    await world.owner("POST", "~/setup-codes", {"name": "x"}, headers={"X-Forwarded-For": "203.0.113.9"})
    [row] = await world.audit("setup_code.created")
    assert row["source"] == "127.0.0.1"


async def test_with_a_certificate_it_serves_tls(tmp_path):
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    files = {"tls_certificate": tmp_path / "both.pem", "tls_key": tmp_path / "both.pem"}
    async with run_cloud(bind="127.0.0.1", **files) as running:
        assert running.url.startswith("https://127.0.0.1:")
        assert running.hub_url.startswith("wss://")
        context = ssl.create_default_context()
        authority.configure_trust(context)
        connector = TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get(f"{running.url}/healthz") as response,
        ):
            assert response.status == 200
            assert response.headers["Strict-Transport-Security"]
