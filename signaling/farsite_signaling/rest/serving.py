"""Listening to strangers: bounded waits, a bounded number of connections, and answers that give nothing away."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from farsite_signaling.rest.errors import problem_of, problem_response
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, Problem

logger = logging.getLogger(__name__)
BACKLOG = 1024

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer that does not say otherwise."""


async def add_headers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """For `Application.on_response_prepare`."""
    response.headers["Server"] = "farsite"
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


@dataclass(frozen=True)
class FrontLimits:
    """`idle`: seconds until the first request's headers must be there, and between requests.

    `per_source` does not hold for those that are `shared`: proxies, behind which many people are.
    """

    connections: int = 4000
    per_source: int = 1000
    idle: float = 30.0
    handshake: float = 10.0
    shared: Callable[[str], bool] = lambda _source: False


class Front:
    """The listening sockets of one runner that is set up. Close it before the runner."""

    def __init__(self, runner: web.AppRunner, limits: FrontLimits | None = None) -> None:
        self._runner = runner
        self.limits = limits or FrontLimits()
        self._servers: list[asyncio.Server] = []
        self._sources: Counter[str] = Counter()

    async def listen(
        self,
        address: str | None = None,
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> int:
        """At an address (None: all) and port, or on a bound socket. The port; raises `OSError`."""
        options: dict[str, object] = {"backlog": BACKLOG}
        if tls is not None:
            options |= {"ssl": tls, "ssl_handshake_timeout": self.limits.handshake}
        loop = asyncio.get_running_loop()
        if sock is not None:
            server = await loop.create_server(self.connection, sock=sock, **options)  # type: ignore[call-overload]
        else:
            server = await loop.create_server(  # type: ignore[call-overload]
                self.connection, address, port, reuse_address=True, **options
            )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def connection(self) -> asyncio.BaseProtocol:
        assert self._runner.server is not None, "the runner is set up first"
        return _Connection(self, self._runner.server, self.limits.idle)

    def close(self) -> None:
        """No new connections. Idempotent."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def enter(self, source: str) -> bool:
        """Whether one more connection is welcome; `leave` in any case."""
        self._sources[source] += 1
        if self._sources.total() > self.limits.connections:
            return False
        return self._sources[source] <= self.limits.per_source or self.limits.shared(source)

    def leave(self, source: str) -> None:
        self._sources[source] -= 1
        if self._sources[source] <= 0:
            del self._sources[source]


class _Connection(web.RequestHandler):
    def __init__(self, front: Front, manager: web.Server, idle: float) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle,
            access_log=None,  # type: ignore[arg-type]  # as AppRunner takes it
            # Nobody we serve compresses requests; few bytes cannot become many.
            auto_decompress=False,
        )
        self._front = front
        self._source: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._source = str(peer[0]) if isinstance(peer, tuple) else ""
        if not self._front.enter(self._source):
            logger.warning("too many connections: one of %s is closed", self._source)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._source is not None:
            self._front.leave(self._source)
            self._source = None
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What the framework refuses before any route is asked, an expectation say, is a problem like all others."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = problem_of(resp)
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is neither repeated to the sender nor logged: it may hold secrets of somebody else's."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if status < 500:
            logger.debug("no HTTP request from %s: %s", request.remote, type(exc).__name__)
            problem = _not_understood(exc)
        else:
            logger.error("unhandled error in a request of %s", request.remote, exc_info=exc)
            error = FarsiteError(ErrorCode.INTERNAL, "Something went wrong here; see this server's log.")
            problem = error.problem()
        response = problem_response(problem)
        response.headers.update(SECURITY_HEADERS)
        response.headers["Server"] = "farsite"
        response.force_close()
        return response


def _not_understood(exc: BaseException | None) -> Problem:
    """Of more header than is read (RFC 6585, 5), or no HTTP."""
    many = isinstance(exc, BadHttpMessage) and exc.message.startswith("Too many headers")
    if not many and not isinstance(exc, LineTooLong):
        detail = "This is not an HTTP request this server understands."
        return FarsiteError(ErrorCode.INVALID_REQUEST, detail).problem()
    detail = "The request has too many headers, or its address or one of its headers is too long."
    problem = FarsiteError(ErrorCode.TOO_LARGE, detail).problem()
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return problem.model_copy(update={"status": status.value, "title": status.phrase})
