"""Puts routes and checks together."""

from __future__ import annotations

from aiohttp import web

from farsite_edge.api.guard import Guard
from farsite_edge.version import __version__
from farsite_signaling.rest import Api, add_headers, openapi, problem_middleware

# A file of the most addresses a scan takes.
MAX_BODY = 2 * 1024 * 1024 + 64 * 1024


def join(tables: list[Api]) -> Api:
    api = Api()
    for table in tables:
        api.include(table)
    return api


def build_app(guard: Guard, api: Api) -> web.Application:
    """One application for every way in; the connection tells who asks."""
    app = web.Application(middlewares=[problem_middleware, guard.middleware], client_max_size=MAX_BODY)
    app.on_response_prepare.append(add_headers)
    api.mount(app, guard.authorize, guard.may)
    document = openapi(api, title="Farsite edge host", version=__version__)

    async def description(_: web.Request) -> web.Response:
        return web.json_response(document)

    app.router.add_get("/api/openapi.json", description)
    return app
