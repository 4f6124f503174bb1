"""Around every request: units of work, measurements, and headers."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from farsite_cloud.api.call import start_call
from farsite_cloud.services import SERVICES

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PREFIX = "/api/v1/"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000"


@web.middleware
async def unit_of_work(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith(PREFIX):
        return await handler(request)
    return await start_call(request).run(lambda: handler(request))


@web.middleware
async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    started = time.perf_counter()
    response = await handler(request)
    seconds = time.perf_counter() - started
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    request.app[SERVICES].metrics.answered(request.method, route, response.status, seconds)
    logger.debug("%s %s %d %.1f ms", request.method, route, response.status, seconds * 1000)
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "farsite"
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.app[SERVICES].urls.api.startswith("https:"):
        response.headers.setdefault("Strict-Transport-Security", _HSTS)
    if response.status == 401:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
