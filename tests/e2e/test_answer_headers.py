"""Headers on every answer, those that the web framework gives by itself included: cloud, edge host, discovery port."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farsite_cloud.api import system
from farsite_cloud.testing import run_cloud
from farsite_edge.testing import run_edge
from farsite_signaling.rest import SECURITY_HEADERS

HOST, END = b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n", b"\r\n"
EVIL = b"<script>canary('x')</script>"
REQUESTS = {
    "there": (b"GET /api/openapi.json HTTP/1.1" + HOST + END, 200),
    "not there": (b"GET /%3Cscript%3Ecanary(1)%3C/script%3E HTTP/1.1" + HOST + END, 404),
    "not escaped": (b"GET /" + EVIL + b" HTTP/1.1" + HOST + END, 404),
    "another method": (b"DELETE /api/openapi.json HTTP/1.1" + HOST + END, 405),
    "no method": (b"BREW /api/openapi.json HTTP/1.1" + HOST + END, 400),
    "options": (b"OPTIONS /api/openapi.json HTTP/1.1" + HOST + b"Origin: http://evil.invalid\r\n" + END, 405),
    "head": (b"HEAD /nothing HTTP/1.1" + HOST + END, 404),
    "expectation": (b"GET /api/openapi.json HTTP/1.1" + HOST + b"Expect: " + EVIL + END + END, 417),
    "no request": (EVIL + b"\r\n\r\n", 400),
}
WEBSOCKET = b"GET /hub HTTP/1.1" + HOST + END


async def raw(
    port: int, request: bytes, tls: ssl.SSLContext | None = None
) -> tuple[int, dict[str, str], bytes]:
    """What comes back, byte by byte: no client library between."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        async with asyncio.timeout(20):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.read(65536)
    finally:
        writer.transport.abort()
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(": ") for line in lines if line]
    names = [name.lower() for name, _, _ in pairs]
    assert len(set(names)) == len(names), names
    return int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, body


def check(headers: dict[str, str], body: bytes, where: str) -> None:
    for name, value in SECURITY_HEADERS.items():
        assert headers.get(name.lower()) == value, (where, name, headers)
    assert headers["server"] == "farsite", where
    if body:
        assert headers["content-type"].partition(";")[0] in (
            "application/json",
            "application/problem+json",
        ), where
    assert b"<script" not in body, (where, body)
    assert "access-control-allow-origin" not in headers, where


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[dict[str, tuple[int, ssl.SSLContext | None]]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with run_cloud() as cloud, run_edge(tmp_path / "edge") as edge:
        yield {
            "cloud": (cloud.cloud.port, None),
            "edge host": (edge.host.https_port, context),
            "discovery": (edge.host.http_port, None),
        }


async def test_of_whatever_is_asked(ports: dict[str, tuple[int, ssl.SSLContext | None]]) -> None:
    for server, (port, tls) in ports.items():
        for name, (request, expected) in REQUESTS.items():
            where = f"{server}: {name}"
            status, headers, body = await raw(port, request, tls)
            check(headers, body, where)
            # The discovery port has two addresses, and what is longer than its requests it does not read.
            assert status == expected or (server == "discovery" and status in (400, 404, 405, 413)), (
                where,
                status,
                body,
            )


async def test_of_errors_inside(
    ports: dict[str, tuple[int, ssl.SSLContext | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("<script>canary('inside')</script>")

    monkeypatch.setattr(system, "supported_versions", broken)
    status, headers, body = await raw(ports["cloud"][0], b"GET /version HTTP/1.1" + HOST + END)
    check(headers, body, "inside")
    assert status == 500 and b"canary" not in body
    status, headers, body = await raw(ports["cloud"][0], WEBSOCKET)
    check(headers, body, "hub")
    assert 400 <= status < 500
