"""One edge host per data folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Self

from farsite_edge.store.failures import storage_errors
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

FILE = "edge.lock"


class FolderLock:
    """Held for as long as the process lives; works wherever SQLite locks files, Windows included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        path = self._folder / FILE
        with storage_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            connection = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                connection.close()
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                    raise self._taken() from None
                raise
        self._connection = connection
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _taken(self) -> FarsiteError:
        return FarsiteError(
            ErrorCode.CONFLICT,
            f"Another edge host already runs with the data folder {self._folder}. Stop it, or give this one a folder "
            "of its own (FARSITE_EDGE_DATA_DIR).",
        )
