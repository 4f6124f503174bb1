"""A local HTTP port for an edge host's API: every request is checked, none gets further without the port's token.

Through the tunnel a request has the user's rights, so the port must not lend them to whatever else runs in the
user's browser. A page is let in by a cookie that opening `url` sets; programs send the token as a bearer token.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from farsite_client.connector import TunnelConnector
from farsite_client.guard import check_fields
from farsite_client.http import failures
from farsite_client.session import RemoteSession
from farsite_signaling.rest.errors import problem_middleware
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import ApiTarget

COOKIE = "farsite-port"
"""Its name goes on with the port: cookies of 127.0.0.1 are shared by all its ports."""
START = "/api/v1/status"
MAX_BODY = 64 * 1024 * 1024
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "cookie",
    "set-cookie",
    "authorization",
    "content-length",
    "content-encoding",
    "accept-encoding",
}
Live = Callable[[], Awaitable[RemoteSession]]


class ApiPort:
    """Listens on 127.0.0.1 inside `async with`."""

    def __init__(self, live: Live, *, port: int = 0) -> None:
        self.port = port
        self.connections = 0
        self.token = secrets.token_urlsafe(24)
        self._live = live
        self._runner: web.AppRunner | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _cookie(self) -> str:
        return f"{COOKIE}-{self.port}"

    @property
    def url(self) -> str:
        """Opens the API's page; holds the token, so it is for this user only."""
        return f"{self.base}{START}?token={self.token}"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[problem_middleware], client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise FarsiteError(
                ErrorCode.PORT_TAKEN, f"Port {self.port} on 127.0.0.1 cannot be used: {error.strerror}."
            ) from None
        self.port = runner.addresses[0][1]
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        fields = [(name.lower(), value) for name, value in request.raw_headers]
        check_fields(fields, self.port, method=request.method.encode())
        if self._equals(request.query.get("token", "")):
            return self._let_in(request)
        self._check_token(request)
        self.connections += 1
        try:
            return await self._pass_on(request)
        finally:
            self.connections -= 1

    def _let_in(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=303, headers={"Location": request.path, "Cache-Control": "no-store"})
        response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict", path="/")
        return response

    def _check_token(self, request: web.Request) -> None:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self._equals(bearer) and not self._equals(request.cookies.get(self._cookie, "")):
            raise FarsiteError(
                ErrorCode.UNAUTHENTICATED,
                "This port needs the token that farsite printed: open its address, or send it as a bearer token.",
            )

    def _equals(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        session = await self._live()
        headers = _forwarded(request.headers)
        async with (
            failures(session.edge_host.name, ErrorCode.PEER_UNREACHABLE),
            aiohttp.ClientSession(connector=TunnelConnector(session.tunnel, ApiTarget())) as client,
            client.request(
                request.method,
                f"http://edge{request.raw_path}",
                headers=headers,
                data=await request.read() or None,
                allow_redirects=False,
            ) as answer,
        ):
            response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
            return response


def _forwarded(headers: object) -> list[tuple[str, str]]:
    items = headers.items()  # type: ignore[attr-defined]
    return [(name, value) for name, value in items if name.lower() not in _HOP_BY_HOP]
