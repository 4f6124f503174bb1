"""The web application: the route table, the hub and the system's routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from farsite_cloud.api.authorize import authorize, may
from farsite_cloud.api.middleware import add_headers, measure, unit_of_work
from farsite_cloud.api.system import add_system_routes
from farsite_cloud.api.table import route_table
from farsite_cloud.browser.pages import pages, problem_pages
from farsite_cloud.providers.pages import pages as provider_pages
from farsite_cloud.services import SERVICES, Services
from farsite_signaling.rest import problem_middleware
from farsite_signaling.wire.hub import HUB_PATH

MAX_BODY = 256 * 1024


def application(
    services: Services, hub: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.Application:
    app = web.Application(
        client_max_size=MAX_BODY, middlewares=[measure, problem_middleware, problem_pages, unit_of_work]
    )
    app[SERVICES] = services
    app.on_response_prepare.append(add_headers)
    api = route_table()
    api.mount(app, authorize, may)
    pages.mount(app, authorize)
    provider_pages.mount(app, authorize)
    add_system_routes(app, api)
    app.router.add_get(HUB_PATH, hub)
    return app
