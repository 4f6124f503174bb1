"""Edits of what somebody else may edit too."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel

from farsite_signaling.rest.etags import Revision, check_if_match
from farsite_signaling.rest.stale import tell_changes
from farsite_signaling.wire.errors import FarsiteError


def check_unchanged(
    request: web.Request, revision: Revision, wanted: BaseModel | None, current: BaseModel
) -> None:
    """Raises `precondition_failed` naming what is different now. Between this and the edit nobody else's comes: the
    caller holds a lock."""
    try:
        check_if_match(request, revision)
    except FarsiteError:
        raise tell_changes(wanted, current) from None
