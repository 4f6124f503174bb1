"""Folders and lengths of time as commands take them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from farsite_client.cli.folders import find_folder
from farsite_client.cloud import CloudClient
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_SPAN = re.compile(r"(\d{1,5})\s*(m|h|d)", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


async def folder_ids(cloud: CloudClient, organization: str, wanted: Sequence[str] | None) -> list[str]:
    """Raises `not_found`, `conflict`."""
    if not wanted:
        return []
    found = await cloud.folders(organization)
    return [find_folder(found, one).id for one in wanted]


def since(text: str, now: datetime | None = None) -> datetime:
    """`90m`, `8h`, `3d` before now, or a moment in UTC (`2026-05-01`). Raises `invalid_request`."""
    if (span := _span(text)) is not None:
        return (now or datetime.now(UTC)) - span
    moment = _moment(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def end_of(text: str, now: datetime | None = None) -> datetime:
    """`90m`, `8h`, `3d` from now, or a moment (`2026-05-01T18:00Z`). Raises `invalid_request`."""
    if (span := _span(text)) is not None:
        return (now or datetime.now(UTC)) + span
    # A moment without its zone is meant as the clock on the wall here.
    return _moment(text).astimezone(UTC)


def _span(text: str) -> timedelta | None:
    match = _SPAN.fullmatch(text.strip())
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        detail = f"{text[:50]!r} is no time. Write 90m, 8h, 3d, or a day or moment such as 2026-05-01T18:00Z."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None
