"""Where the edge host's log goes: standard error, and a file in the data folder, for `farsite edge debug-bundle`."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from farsite_edge.redaction import RedactingFormatter

FILE = "edge.log"
SIZE, KEPT = 2 * 1024 * 1024, 2
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
QUIET = ("aioice", "aiortc", "zeroconf", "websockets", "asyncio")
"""These tell every packet and candidate."""
logger = logging.getLogger(__name__)


class LogFile(RotatingFileHandler):
    """Readable by its owner only. A disk that takes nothing any more is no reason to say so with every line."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=SIZE, backupCount=KEPT, delay=True, encoding="utf-8")

    def _open(self) -> object:  # type: ignore[override]
        before = os.umask(0o077)
        try:
            return super()._open()
        finally:
            os.umask(before)

    def handleError(self, record: logging.LogRecord) -> None:
        """The line is on standard error."""


def begin_logging(level: str, folder: Path) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), LogFile(folder / FILE)]
    for handler in handlers:
        handler.setFormatter(RedactingFormatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=handlers)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    faulthandler.enable()  # frames without values
    sys.excepthook = _crashed


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.critical("the edge host crashed", exc_info=(kind, error, trace))


def log_files(folder: Path) -> list[Path]:
    """Oldest first."""
    names = [*(f"{FILE}.{number}" for number in range(KEPT, 0, -1)), FILE]
    return [folder / name for name in names if (folder / name).exists()]
