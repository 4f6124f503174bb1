"""The front door of every HTTP server: what strangers send neither stays, nor is logged, nor stops others."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from farsite_signaling.rest import Front, FrontLimits, problem_middleware, receive, routes

CANARY = b"canary-7781"


@asynccontextmanager
async def serving(limits: FrontLimits | None = None) -> AsyncIterator[int]:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await receive(request))

    app = web.Application(middlewares=[problem_middleware], client_max_size=1000)
    app.router.add_route("*", "/", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    front = Front(runner, limits)
    try:
        yield await front.listen("127.0.0.1", 0)
    finally:
        front.close()
        await runner.cleanup()


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        CANARY + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff" + CANARY + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x00" + CANARY + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + CANARY * 2000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY,
    ],
)
async def test_what_is_no_http_is_answered_as_a_problem_and_not_repeated(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as port:
        answer = await exchange(port, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    long = len(data) > 8190
    assert head.split()[1] == (b"431" if long else b"400")
    assert json.loads(body)["code"] == ("too_large" if long else "invalid_request")
    assert b"application/problem+json" in head and b"nosniff" in head
    assert b"aiohttp" not in answer and b"Python" not in answer
    assert CANARY not in answer and CANARY.decode() not in caplog.text
    assert "Traceback" not in caplog.text


async def test_headers_that_never_end_are_not_waited_for() -> None:
    async with serving(FrontLimits(idle=0.3)) as port:
        assert await exchange(port, b"") == b""
        assert await exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""
        answer = await exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHo")
        assert answer.count(b"200 OK") == 1


@pytest.mark.parametrize(
    "start", [b"Content-Length: 90\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"]
)
async def test_a_body_that_never_ends_is_not_waited_for(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "BODY_TIMEOUT", 0.3)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + start)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b"504" in head.split(b"\r\n")[0] and b"problem+json" in head
        writer.close()


async def test_a_body_that_is_too_large_or_broken() -> None:
    async with serving() as port:
        start = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        answer = await exchange(port, start + b"Content-Length: 2000\r\n\r\n" + bytes(2000))
        assert b'"code":"too_large"' in answer
        answer = await exchange(port, start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert b'"code":"invalid_request"' in answer


async def test_one_source_does_not_get_all_connections() -> None:
    async with serving(FrontLimits(connections=10, per_source=3)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        held[0][1].write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(held[0][0].read(), 5)
        assert b"200 OK" in await exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for _, writer in held:
            writer.close()


async def test_behind_a_proxy_are_many() -> None:
    limits = FrontLimits(connections=5, per_source=3, shared=lambda source: source == "127.0.0.1")
    async with serving(limits) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        assert b"200 OK" in await exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        held.append(await asyncio.open_connection("127.0.0.1", port))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 5) == b"", "all of them together are limited still"
        for _, one in [*held, (reader, writer)]:
            one.close()
