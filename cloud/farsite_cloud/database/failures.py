"""What a failing database means for whoever asked."""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError, IntegrityError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)


def busy() -> FarsiteError:
    detail = "The cloud is busy: nothing was changed. Try again."
    return FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=1)


def storage_error(error: DBAPIError) -> FarsiteError:
    text = str(error.orig).lower()
    if "full" in text or "no space" in text:
        detail = "The cloud's disk is full: nothing was changed. Free some space and try again."
        return FarsiteError(ErrorCode.DISK_FULL, detail)
    if "locked" in text or "busy" in text:
        return busy()
    if "malformed" in text or "not a database" in text:
        detail = "The cloud's database is damaged. Stop the cloud and restore a backup of its data folder."
        logger.critical("the database is damaged: %s", error.orig)
        return FarsiteError(ErrorCode.STORAGE_FAILED, detail)
    if isinstance(error, IntegrityError):
        detail = "Somebody else changed the same thing at the same moment: nothing was changed. Try again."
        return FarsiteError(ErrorCode.CONFLICT, detail)
    # Its own words, not the statement: that holds values.
    logger.error("the database failed: %s", error.orig)
    detail = "The cloud cannot use its database: nothing was changed. See the server's log."
    return FarsiteError(ErrorCode.STORAGE_FAILED, detail)
