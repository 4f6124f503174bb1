"""`ETag` and `If-Match` (RFC 9110, 13.1.1): an edit of what somebody else changed meanwhile is refused."""

from __future__ import annotations

import hashlib

from aiohttp import web
from pydantic import BaseModel

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

IF_MATCH = "If-Match"
Revision = int | str


def tag_of(revision: Revision) -> str:
    return f'"{revision}"'


def etag(revision: Revision) -> dict[str, str]:
    return {"ETag": tag_of(revision)}


def revision_of(content: BaseModel) -> str:
    """Of what counts no edits: what it says is what it is."""
    return hashlib.sha256(content.model_dump_json().encode()).hexdigest()[:32]


def check_if_match(request: web.Request, revision: Revision) -> None:
    """Without the header the edit goes ahead. Raises `precondition_failed`."""
    given = request.headers.get(IF_MATCH)
    if given is None:
        return
    tags = {tag.strip() for tag in given.split(",")}
    if "*" in tags or tag_of(revision) in tags:
        return
    detail = "Somebody changed it after you read it. Read it again, then repeat your change."
    raise FarsiteError(ErrorCode.PRECONDITION_FAILED, detail)
