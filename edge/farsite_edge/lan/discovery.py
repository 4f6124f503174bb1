"""HTTP 37080: answers who this edge host is, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from farsite_edge.lan.hosts import HostRule
from farsite_signaling.rest import add_headers, problem_middleware
from farsite_signaling.wire.edge_api import EdgeInfo

Info = Callable[[], EdgeInfo]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def discovery_app(info: Info, hosts: HostRule) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        hosts.check(request.headers.get("Host", ""))
        body = info().model_dump_json(exclude_none=True).encode()
        return web.Response(body=body, content_type="application/json")

    app = web.Application(middlewares=[problem_middleware], client_max_size=1024)
    app.on_response_prepare.append(add_headers)
    app.router.add_get("/", answer)
    app.router.add_get("/info", answer)
    return app
