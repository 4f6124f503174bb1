"""`ETag` and `If-Match` as every part has them, and the row that is edited kept from others meanwhile."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web
from sqlalchemy.exc import InvalidRequestError

from farsite_cloud.api.call import call_of
from farsite_signaling.rest.etags import IF_MATCH, check_if_match, etag, tag_of
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

__all__ = ["IF_MATCH", "check_if_match", "check_unchanged", "etag", "hold", "tag_of"]


class Edited(Protocol):
    @property
    def revision(self) -> int: ...


async def check_unchanged(request: web.Request, row: Edited) -> None:
    """Until the end of this unit of work nobody else edits the row. Raises `precondition_failed`, `not_found`."""
    await hold(request, row)
    check_if_match(request, row.revision)


async def hold(request: web.Request, row: object) -> None:
    """The row as it is now, locked: of two that edit it at once the second sees what the first one did.

    SQLite has one writer at a time and needs no such thing.
    """
    call = call_of(request)
    if call.services.database.kind == "sqlite":
        return
    try:
        await call.session.refresh(row, with_for_update={"key_share": True})
    except InvalidRequestError:
        raise FarsiteError(ErrorCode.NOT_FOUND, "Somebody removed it just now.") from None
