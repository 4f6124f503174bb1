"""From a file into the database: by command, and at the start."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from farsite_cloud.catalogue.file import Reading, read_catalogue
from farsite_cloud.catalogue.service import replace_catalogue
from farsite_cloud.database import Database
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)
_SHOWN = 20


async def read_file(path: Path) -> Reading:
    """Raises `setting_invalid` for a file that cannot be read, `invalid_request`, `too_large`."""
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        detail = f"The catalogue {path} cannot be read: {error.strerror or error}."
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail) from None
    return read_catalogue(data)


async def import_catalogue(database: Database, path: Path, *, partial: bool) -> tuple[int, Reading]:
    """How many models it has now. With a bad line nothing is changed, unless `partial`. Raises `invalid_request`."""
    reading = await read_file(path)
    if reading.problems and not partial:
        raise refused(path, reading)
    async with database.writing() as session:
        return await replace_catalogue(session, reading.entries), reading


async def load_at_start(database: Database, path: Path) -> None:
    """The cloud starts with the lines that are good; the others are logged."""
    number, reading = await import_catalogue(database, path, partial=True)
    for line, problem in reading.problems[:_SHOWN]:
        logger.warning("catalogue %s, line %d: %s", path, line, problem)
    if len(reading.problems) > _SHOWN:
        logger.warning("catalogue %s: %d bad lines more", path, len(reading.problems) - _SHOWN)
    logger.info("catalogue %s: %d models", path, number)


def refused(path: Path, reading: Reading) -> FarsiteError:
    """Names every bad line in `errors`, the first one in the sentence."""
    line, problem = reading.problems[0]
    more = f" (and {len(reading.problems) - 1} lines more)" if len(reading.problems) > 1 else ""
    return FarsiteError(
        ErrorCode.INVALID_REQUEST,
        f"{path}, line {line}: {problem}{more}. Nothing was changed: correct the file, or take the good lines with "
        "--partial.",
        errors=[{"field": f"line {number}", "message": text} for number, text in reading.problems],
    )
