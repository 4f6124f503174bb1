"""A table of routes, each with the right it needs and the models it takes and gives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from farsite_signaling.rest.etags import IF_MATCH
from farsite_signaling.rest.stale import tell_changes
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.refusals import plain
from farsite_signaling.wire.rights import Right


class Access(Enum):
    """Routes that need no particular right say so."""

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"
    INTERACTIVE = "interactive"
    """Signed in with a password: no personal access token may use the route."""


PUBLIC = Access.PUBLIC
AUTHENTICATED = Access.AUTHENTICATED
INTERACTIVE = Access.INTERACTIVE
Need = Right | Access
Handler = Callable[..., Awaitable[Any]]
Authorize = Callable[[web.Request, Need], Awaitable[None]]
May = Callable[[web.Request, Need], bool]
MAX_BODY = 1024 * 1024
BODY_TIMEOUT = 30.0
"""Seconds a request's body may take."""
NUL = b"\0"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Answer:
    """A model with headers beside it (`ETag`, …), or a status other than the route's."""

    body: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Handler
    need: Need
    request: type[BaseModel] | None
    response: type[BaseModel] | None
    status: int
    summary: str
    query: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    errors: tuple[ErrorCode, ...] = ()
    files: tuple[str, ...] = ()


class Api:
    """Collects routes and mounts them. A route without a declared right cannot be written.

    Handlers take `(request)` or, when the route has a request model, `(request, body)`, and return a model,
    an `Answer` (a model with headers), `None` (204) or a finished response. `query` is the model of the query
    string, for `read_query`; `headers` names the request headers the handler looks at; `errors` are the codes it
    answers with beyond those of `rest.outcomes`; `files` are the media types of a finished response that is a
    file. All are documented.
    """

    def __init__(self, prefix: str = "/api/v1") -> None:
        self.prefix = prefix
        self.routes: list[Route] = []

    def route(
        self,
        method: str,
        path: str,
        *,
        need: Need,
        request: type[BaseModel] | None = None,
        response: type[BaseModel] | None = None,
        status: int = 200,
        query: type[BaseModel] | None = None,
        headers: tuple[str, ...] = (),
        errors: tuple[ErrorCode, ...] = (),
        files: tuple[str, ...] = (),
    ) -> Callable[[Handler], Handler]:
        """Declare a route; `path` is relative to the prefix and may hold `{names}`."""

        def register(handler: Handler) -> Handler:
            summary = (handler.__doc__ or handler.__name__).strip().splitlines()[0]
            self.add(
                Route(
                    method,
                    path,
                    handler,
                    need,
                    request,
                    response,
                    status,
                    summary,
                    query,
                    headers,
                    errors,
                    files,
                )
            )
            return handler

        return register

    def add(self, route: Route) -> None:
        if not isinstance(route.need, Right | Access):
            raise TypeError(f"{route.method} {route.path} does not declare the right it needs")
        self.routes.append(route)

    def include(self, other: Api) -> None:
        """Add all routes of another table (one feature's) to this one."""
        for route in other.routes:
            self.add(route)

    def mount(self, app: web.Application, authorize: Authorize, may: May | None = None) -> None:
        """Serve all routes; `authorize` runs first and raises `FarsiteError` to refuse.

        `may` says whether whoever was let in may use a route of another need as well: an edit that came too late is
        told what changed by those who may read it.
        """
        for route in self.routes:
            reader = self.reader_of(route) if IF_MATCH in route.headers else None
            endpoint = _endpoint(route, authorize, reader, may or _nothing_else)
            app.router.add_route(route.method, self.prefix + route.path, endpoint)

    def reader_of(self, route: Route) -> Route | None:
        """What reads the thing that a route edits: at its own path, or the nearest one above."""
        readers = {one.path: one for one in self.routes if one.method == "GET"}
        path = route.path
        while path:
            if path in readers:
                return readers[path]
            path = path.rpartition("/")[0]
        return None

    def gives_etag(self, route: Route) -> bool:
        """Whoever edits it says by the tag what was read."""
        edited = [one for one in self.routes if one.path == route.path and IF_MATCH in one.headers]
        return bool(edited) and route.response is not None


def _nothing_else(request: web.Request, need: Need) -> bool:
    return False


def _endpoint(
    route: Route, authorize: Authorize, reader: Route | None, may: May
) -> Callable[[web.Request], Awaitable[Any]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        await authorize(request, route.need)
        check_texts(dict(request.match_info))
        body = None if route.request is None else await read_body(request, route.request)
        given = (request,) if body is None else (request, body)
        try:
            return _answer(await route.handler(*given), route.status)
        except FarsiteError as error:
            if error.code is not ErrorCode.PRECONDITION_FAILED or reader is None:
                raise
            if reader.need is not route.need and not may(request, reader.need):
                raise
            raise await _stale(request, body, reader, error) from error

    return endpoint


async def _stale(
    request: web.Request, body: BaseModel | None, reader: Route, error: FarsiteError
) -> FarsiteError:
    """The same, with what is different now where that can be read."""
    try:
        result = await reader.handler(request)
    except FarsiteError:
        return error
    return tell_changes(body, result.body if isinstance(result, Answer) else result)


async def receive(request: web.Request) -> bytes:
    """The whole body, kept for whoever reads it again. Raises `timeout`, `invalid_request`, `too_large`."""
    if (request.content_length or 0) > request.client_max_size:
        raise _too_large(request)  # nothing of it is waited for
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError:
        raise FarsiteError(
            ErrorCode.TIMEOUT, f"The request did not arrive within {BODY_TIMEOUT:.0f} s. Send it again."
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(request) from None
    except (web.RequestPayloadError, ConnectionError):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The request broke off in its middle.") from None


def _too_large(request: web.Request) -> FarsiteError:
    detail = f"The request has more than {request.client_max_size} bytes, the most that are read here."
    return FarsiteError(ErrorCode.TOO_LARGE, detail)


async def read_body(request: web.Request, model: type[ModelT]) -> ModelT:
    """Raises `FarsiteError` (`invalid_request`) naming each field that is wrong."""
    data = await receive(request)
    try:
        body = model.model_validate_json(data or b"{}")
    except ValidationError as error:
        raise invalid_request(error) from None
    if NUL in data or rb"\u0000" in data:
        check_texts(from_json(data))
    return body


def read_query(request: web.Request, model: type[ModelT]) -> ModelT:
    """Raises `FarsiteError` (`invalid_request`); of a name given twice the last counts."""
    given = dict(request.query)
    check_texts(given)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid_request(error) from None


def check_texts(value: object, where: str = "") -> None:
    """Refuses what not every database can keep: null characters, and halves of surrogate pairs.

    `value` is what JSON can hold. Raises `invalid_request` naming the field.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            check_texts(name, where)
            check_texts(item, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list):
        for item in value:
            check_texts(item, where)
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        what = "null characters and broken characters are not allowed here"
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            f"The request is not understood: {what} ({clean(where)[:100]}).",
            errors=[{"field": clean(where)[:100], "message": what}],
        )


def invalid_request(error: ValidationError) -> FarsiteError:
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    fields = [".".join(str(part) for part in item["loc"]) for item in problems]
    errors = [
        {"field": field, "message": plain(item["msg"], field)}
        for field, item in zip(fields, problems, strict=True)
    ]
    first = errors[0]
    where = f" ({first['field']})" if first["field"] else ""
    return FarsiteError(
        ErrorCode.INVALID_REQUEST,
        f"The request is not understood: {first['message']}{where}.",
        errors=errors,
    )


def _answer(result: Any, status: int) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    if result is None:
        return web.Response(status=204)
    answer = result if isinstance(result, Answer) else Answer(result)
    return web.Response(
        body=answer.body.__pydantic_serializer__.to_json(answer.body),
        status=answer.status or status,
        content_type="application/json",
        headers=dict(answer.headers),
    )
