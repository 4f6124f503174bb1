"""Cursors: where a page ended, by the last row's id. Opaque to clients."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from farsite_cloud.database import OrganizationOwned
from farsite_signaling.identity.keys import b64decode, b64encode
from farsite_signaling.rest import read_query
from farsite_signaling.wire.cloud_api import Page
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def read_page(request: web.Request) -> tuple[str | None, int]:
    """The id to start after and how many rows. Raises `invalid_request`."""
    page = read_query(request, Page)
    return start_after(page.cursor), page.limit


def cursor_of(key: str) -> str:
    """The cursor of a page whose last row has this id."""
    return b64encode(key.encode())


def next_cursor(rows: Sequence[OrganizationOwned], limit: int) -> str | None:
    """`rows` were asked for with one more than `limit`; that one tells that there is another page."""
    return cursor_of(rows[limit - 1].id) if len(rows) > limit else None


def start_after(cursor: str | None) -> str | None:
    """The id to start after, if any. Raises `invalid_request`."""
    return None if cursor is None else decode_cursor(cursor)


def decode_cursor(cursor: str) -> str:
    """Raises `invalid_request`."""
    try:
        text = b64decode(cursor).decode("ascii")
    except (FarsiteError, UnicodeDecodeError):
        text = ""
    if not text.isprintable() or not text:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The cursor is not one of this list's.")
    return text
