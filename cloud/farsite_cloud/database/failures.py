"""What a failing database means for whoever asked."""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError, IntegrityError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = (
    "08",  # connection exceptions
    "25006",  # read-only: a standby that is about to become primary
    "25P03",  # idle in transaction for too long
    "40",  # serialization failures and deadlocks
    "53",  # out of memory or connections
    "55P03",  # a lock was not to be had in time
    "57",  # cancelled, shut down, starting up
    "0A000",  # a statement prepared before the schema changed
)
_DISK_FULL, _DATA, _INTEGRITY = "53100", "22", "23"
STORAGE = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.STORAGE_FAILED, ErrorCode.DISK_FULL})
"""Codes that say: nothing can be kept right now."""


def busy() -> FarsiteError:
    detail = "The cloud is busy: nothing was changed. Try again."
    return FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=1)


def away() -> FarsiteError:
    detail = "The cloud's database does not answer: nothing was changed. Try again."
    return FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=2)


def storage_error(error: DBAPIError) -> FarsiteError:
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated:
        return away()
    if isinstance(state, str) and (known := _of_state(state)) is not None:
        return known
    if state is None and (known := _of_words(error)) is not None:
        return known
    if isinstance(error, IntegrityError):
        return conflict()
    # Its own words, not the statement: that holds values.
    logger.error("the database failed: %s", error.orig)
    detail = "The cloud cannot use its database: nothing was changed. See the server's log."
    return FarsiteError(ErrorCode.STORAGE_FAILED, detail, retry_after=5)


def _of_state(state: str) -> FarsiteError | None:
    if state == _DISK_FULL:
        return _disk_full()
    if state.startswith(_INTEGRITY):
        return conflict()
    if state.startswith(_DATA):
        detail = "The request holds characters or numbers that cannot be stored: nothing was changed."
        return FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return busy() if state.startswith(_PASSING) else None


def _of_words(error: DBAPIError) -> FarsiteError | None:
    """SQLite's: it has no states."""
    text = str(error.orig).lower()
    if "full" in text or "no space" in text:
        return _disk_full()
    if "locked" in text or "busy" in text:
        return busy()
    if "malformed" in text or "not a database" in text:
        detail = "The cloud's database is damaged. Stop the cloud and restore a backup of its data folder."
        logger.critical("the database is damaged: %s", error.orig)
        return FarsiteError(ErrorCode.STORAGE_FAILED, detail)
    return None


def _disk_full() -> FarsiteError:
    detail = "The cloud's disk is full: nothing was changed. Free some space and try again."
    return FarsiteError(ErrorCode.DISK_FULL, detail)


def conflict() -> FarsiteError:
    detail = "Somebody else changed the same thing at the same moment: nothing was changed. Try again."
    return FarsiteError(ErrorCode.CONFLICT, detail)
