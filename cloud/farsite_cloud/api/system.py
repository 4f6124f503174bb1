"""Health, version and the API's own description without sign-in; metrics for who watches over the cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import cache
from typing import Any

from aiohttp import web
from redis.asyncio import Redis
from sqlalchemy import text

from farsite_cloud.api.docs import PAGE_POLICY, STYLE, render_page
from farsite_cloud.api.metrics_reader import check_reader
from farsite_cloud.cluster.redis import shared
from farsite_cloud.metrics import CONTENT_TYPE
from farsite_cloud.services import SERVICES, Services
from farsite_cloud.version import VERSION
from farsite_signaling.rest import Api, openapi
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.version import supported_versions

TITLE = "Farsite cloud"


def description(api: Api) -> dict[str, Any]:
    return openapi(api, title=TITLE, version=VERSION)


def add_system_routes(app: web.Application, api: Api) -> None:
    # Made when somebody asks first: it takes longer than all else at the start.
    document = cache(lambda: description(api))
    page = cache(lambda: render_page(document()))

    async def document_(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(document))

    async def page_(request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": PAGE_POLICY, "X-Frame-Options": "DENY"}
        text = await asyncio.to_thread(page)
        return web.Response(text=text, content_type="text/html", headers=headers)

    app.router.add_get("/healthz", _health)
    app.router.add_get("/readyz", _ready)
    app.router.add_get("/version", _version)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/api/openapi.json", document_)
    app.router.add_get("/api/docs", page_)
    app.router.add_get("/api/docs.css", _style)


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    """Ready when database and Redis answer. A missing relay is a warning: most paths work without it."""
    services = request.app[SERVICES]
    warning = services.relay.warning
    warnings = [text for text in (warning, services.mailer.warning) if text is not None]
    states = {"database": await _state(_ask_database(services))}
    if services.redis is not None:
        states["redis"] = await _state(_ask_redis(services.redis))
    parts = {name: problem or "ok" for name, problem in states.items()}
    problems = [problem for problem in states.values() if problem]
    if problems:
        answer = {"status": "unavailable", "detail": " ".join(problems), "parts": parts, "warnings": warnings}
        return web.json_response(answer, status=503, headers={"Retry-After": "2"})
    return web.json_response({"status": "ok", "parts": parts, "warnings": warnings})


async def _state(question: Awaitable[object]) -> str | None:
    """What is wrong, if anything."""
    try:
        await question
    except FarsiteError as error:
        return error.detail
    return None


async def _ask_database(services: Services) -> None:
    async with services.database.reading() as session:
        await session.execute(text("SELECT 1"))


async def _ask_redis(redis: Redis) -> None:
    async with shared("readiness"):
        await redis.ping()  # type: ignore[misc]


async def _version(request: web.Request) -> web.Response:
    return web.json_response({"version": VERSION, "protocol_versions": supported_versions()})


async def _metrics(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    check_reader(services.settings, request.headers)
    return web.Response(body=services.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


async def _style(request: web.Request) -> web.Response:
    return web.Response(text=STYLE, content_type="text/css")
