"""Around every request: units of work, measurements, and headers."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from farsite_cloud.api.call import start_call
from farsite_cloud.browser.pages import is_page
from farsite_cloud.services import SERVICES
from farsite_signaling.rest import add_headers as add_common_headers
from farsite_signaling.rest import receive

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PREFIX = "/api/v1/"

_HSTS = "max-age=31536000"


@web.middleware
async def unit_of_work(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not (request.path.startswith(PREFIX) or is_page(request.path)):
        return await handler(request)
    call = start_call(request)
    if request.body_exists:
        # Before the transaction: only one writer writes at a time, and a slow sender must not be that one.
        await receive(request)
    return await call.run(lambda: handler(request))


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
    await add_common_headers(request, response)
    if request.app[SERVICES].urls.api.startswith("https:"):
        response.headers.setdefault("Strict-Transport-Security", _HSTS)
    if response.status == 401:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
