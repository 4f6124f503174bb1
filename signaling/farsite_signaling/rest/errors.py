"""Every error leaves as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from farsite_signaling.wire.errors import ErrorCode, FarsiteError, Problem

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HTTP_CODES = {
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.INVALID_REQUEST,
    413: ErrorCode.TOO_LARGE,
}


def problem_response(problem: Problem) -> web.Response:
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(problem.retry_after)))
    return web.Response(
        body=problem.model_dump_json(exclude_none=True).encode(),
        status=problem.status,
        content_type="application/problem+json",
        headers=headers,
    )


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except FarsiteError as error:
        return problem_response(error.problem())
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem_of(error)
    except Exception:
        # What went wrong inside is for the log, not for whoever asked.
        logger.exception("unhandled error in %s %s", request.method, request.path)
        hidden = FarsiteError(ErrorCode.INTERNAL, "Something went wrong here; see this server's log.")
        return problem_response(hidden.problem())


def problem_of(error: web.HTTPException) -> web.Response:
    """What the framework refuses, in words of ours: nothing of the request is repeated."""
    response = problem_response(_from_http(error))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _from_http(error: web.HTTPException) -> Problem:
    code = _HTTP_CODES.get(error.status, ErrorCode.INVALID_REQUEST)
    return Problem(
        type=f"urn:farsite:error:{code}",
        title=error.reason,
        status=error.status,
        detail=error.reason,
        code=code,
    )
