"""Headers on every answer, those that the web framework gives by itself included: cloud, edge host, discovery port."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farsite_cloud.api import system
from farsite_cloud.testing import run_cloud
from farsite_edge.testing import run_edge
from farsite_signaling.rest import SECURITY_HEADERS
from farsite_signaling.wire.errors import Problem

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
POST, JSON = b"POST /api/v1/claims HTTP/1.1", b"Content-Type: application/json\r\n"
LENGTH, CHUNKED = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
LARGE = b" " * (3 * 1024 * 1024)
HARD = {
    "a long header": (b"GET / HTTP/1.1" + HOST + b"X-Long: " + b"a" * 20_000 + END + END, 431, "too_large"),
    "a long address": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1" + HOST + END, 431, "too_large"),
    "many headers": (
        b"GET / HTTP/1.1" + HOST + b"".join(b"X-%d: a\r\n" % number for number in range(500)) + END,
        431,
        "too_large",
    ),
    "two framings": (POST + HOST + JSON + LENGTH + CHUNKED + END + b"0\r\n\r\n", 400, "invalid_request"),
    "two framings, the other way": (
        POST + HOST + CHUNKED + LENGTH + END + b"0\r\n\r\n",
        400,
        "invalid_request",
    ),
    "two lengths": (POST + HOST + LENGTH + b"Content-Length: 2" + END + END + b"{}", 400, "invalid_request"),
    "a signed length": (POST + HOST + b"Content-Length: +2" + END + END + b"{}", 400, "invalid_request"),
    "chunked twice": (
        POST + HOST + b"Transfer-Encoding: chunked, chunked" + END + END + b"0\r\n\r\n",
        400,
        "invalid_request",
    ),
    "an unknown coding": (POST + HOST + b"Transfer-Encoding: gzip" + END + END, 400, "invalid_request"),
    "no chunk": (POST + HOST + CHUNKED + END + b"zz\r\n{}\r\n0\r\n\r\n", 400, "invalid_request"),
    "a folded header": (b"GET / HTTP/1.1" + HOST + b"X-A: b\r\n c" + END + END, 400, "invalid_request"),
    "a space before the colon": (b"GET / HTTP/1.1" + HOST + b"X-A : b" + END + END, 400, "invalid_request"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a" + HOST + END, 400, "invalid_request"),
}
TOO_LARGE = {
    "announced": b"Content-Length: 99999999\r\n\r\n",
    "sent": b"Content-Length: %d\r\n\r\n%s" % (len(LARGE), LARGE),
    "in chunks": CHUNKED + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(LARGE), LARGE),
}
CLAIMS = {"cloud": "/api/v1/claims", "edge host": "/api/v1/claim"}
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
            length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
            body = await (
                reader.readexactly(int(length[1]))
                if length and request[:4] != b"HEAD"
                else reader.read(65536)
            )
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


def check_problem(body: bytes, status: int, code: str, where: str) -> None:
    problem = Problem.model_validate_json(body)
    assert (problem.status, problem.code) == (status, code) and problem.detail, where
    assert problem.type == f"urn:farsite:error:{code}" and problem.title, where


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


async def test_of_what_is_hard_to_read(ports: dict[str, tuple[int, ssl.SSLContext | None]]) -> None:
    """Oversized headers; two framings, one of which a server in front may have believed (request smuggling)."""
    for server, (port, tls) in ports.items():
        for name, (request, expected, code) in HARD.items():
            where = f"{server}: {name}"
            status, headers, body = await raw(port, request, tls)
            check(headers, body, where)
            assert status == expected, (where, status, body)
            check_problem(body, expected, code, where)


async def test_of_bodies_that_are_too_large(ports: dict[str, tuple[int, ssl.SSLContext | None]]) -> None:
    """Also of one that is only announced: nobody waits for it."""
    for server, path in CLAIMS.items():
        port, tls = ports[server]
        for name, sent in TOO_LARGE.items():
            where = f"{server}: {name}"
            head = b"POST " + path.encode() + b" HTTP/1.1" + HOST + JSON
            status, headers, body = await raw(port, head + sent, tls)
            check(headers, body, where)
            check_problem(body, status, "too_large", where)
            assert status == 413 and b"bytes" in body, (where, body)


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
