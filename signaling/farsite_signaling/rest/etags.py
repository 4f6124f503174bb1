"""`ETag` and `If-Match` (RFC 9110, 13.1.1): an edit of what somebody else changed meanwhile is refused."""

from __future__ import annotations

from aiohttp import web

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def etag(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"'}


def check_if_match(request: web.Request, revision: int) -> None:
    """Without the header the edit goes ahead. Raises `precondition_failed`."""
    given = request.headers.get("If-Match")
    if given is None:
        return
    tags = {tag.strip() for tag in given.split(",")}
    if "*" in tags or f'"{revision}"' in tags:
        return
    detail = "Somebody changed it after you read it. Read it again, then repeat your change."
    raise FarsiteError(ErrorCode.PRECONDITION_FAILED, detail)
