"""The folder a demo keeps its data in, and what is left of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PREFIX = "farsite-demo-"
_DATA = ("cloud", "edge", "client")


class DemoFolder:
    """A temporary folder, of which only the snapshot stays, or one the user names and keeps whole."""

    def __init__(self, wanted: Path | None) -> None:
        self.temporary = wanted is None
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX)) if wanted is None else _prepared(wanted)

    def tidy(self, *, failed: bool) -> None:
        """Remove data, keys and passwords from a temporary folder unless they may tell what failed.

        The folder goes too if nothing is left in it.
        """
        if not self.temporary:
            return
        for name in () if failed else _DATA:
            shutil.rmtree(self.path / name, ignore_errors=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def left(self) -> str:
        """What is still there, in a sentence; empty when nothing is."""
        if not self.path.is_dir():
            return ""
        if not self.temporary:
            return f"Everything is kept in {self.path}"
        if any((self.path / name).exists() for name in _DATA):
            return f"Kept to be looked at: {self.path}"
        return f"Kept: {', '.join(str(file) for file in sorted(self.path.iterdir()))}"


def _prepared(wanted: Path) -> Path:
    """Raises `FarsiteError` (`conflict`, `storage_failed`)."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        used = any((wanted / name).exists() for name in _DATA)
    except OSError as error:
        raise FarsiteError(ErrorCode.STORAGE_FAILED, f"{wanted}: {error.strerror}.") from None
    if used:
        raise FarsiteError(
            ErrorCode.CONFLICT,
            f"{wanted} holds the data of another demo, which may be running. Name an empty folder, or remove it.",
        )
    return wanted.absolute()
