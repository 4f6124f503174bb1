"""The folder of downloaded images: each is fetched once whoever asks for it, and the oldest give way to new ones."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from farsite_edge.axis_os.container import MIB
from farsite_edge.os_catalogue.download import ABOUT, FIRST_PAUSE, PART, Download, file_name
from farsite_edge.os_catalogue.index import Entry
from farsite_edge.os_catalogue.outside import Outside
from farsite_edge.store.failures import storage_errors
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SPARE = 256 * MIB
"""Left free on the disk: the database lives there, too."""
logger = logging.getLogger(__name__)


class Downloads:
    """`needed` names images that work under way will send to devices: they never give way."""

    def __init__(
        self,
        folder: Path,
        outside: Outside,
        limit: int,
        needed: Callable[[], Iterable[str]] = tuple,
        *,
        pause: float = FIRST_PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.limit = limit
        self._outside = outside
        self._needed = needed
        self._pause = pause
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, tuple[float, FarsiteError]] = {}
        self._have: dict[str, int] = {}
        self._room = asyncio.Lock()

    def stored(self, entry: Entry) -> bool:
        return (self.folder / file_name(entry)).is_file()

    def share(self, entry: Entry) -> float:
        """How much of it is there, 0 to 1."""
        return min(1.0, self._have.get(entry.id, 0) / entry.bytes)

    def used(self) -> int:
        return sum(size for _, size, _ in self._files())

    async def fetch(self, entry: Entry) -> None:
        """Until it is there and checked. Who comes while another fetches it waits for that one; when that one gives up,
        the next goes on. Raises `FarsiteError` as `Download` does, `too_large`, `disk_full`."""
        came = self._clock()
        async with self._turns.setdefault(entry.id, asyncio.Lock()):
            if self.stored(entry):
                return
            at, error = self._failed.get(entry.id, (came, None))
            if error is not None and came <= at:
                raise error  # it failed while this one waited for it
            try:
                await self._fetch(entry)
            except FarsiteError as failure:
                self._failed[entry.id] = (self._clock(), failure)
                raise
            finally:
                self._have.pop(entry.id, None)

    async def _fetch(self, entry: Entry) -> None:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        download = Download(
            self._outside,
            entry,
            self.folder,
            lambda have: self._have.__setitem__(entry.id, have),
            self._pause,
        )
        async with self._room:
            self._make_room(entry, download.part)
        file = await download.run()
        logger.info("image %s of %s was downloaded to %s", entry.version, ", ".join(entry.models)[:200], file)

    def _make_room(self, entry: Entry, part: Path) -> None:
        """The oldest give way, what was begun and left first."""
        if entry.bytes > self.limit:
            raise FarsiteError(
                ErrorCode.TOO_LARGE,
                f"The image has {entry.bytes // MIB} MiB, and downloads may have {self.limit // MIB} MiB together "
                "(setting os_downloads_limit). Raise it, or put the image into the folder.",
            )
        have = part.stat().st_size if part.exists() else 0
        others = [one for one in self._files() if one[0].stem != entry.id]
        missing = sum(size for _, size, _ in others) + entry.bytes - self.limit
        for path, size, _ in sorted(others, key=lambda one: (one[0].suffix != PART, one[2])):
            if missing <= 0:
                break
            if self._may_go(path):
                path.unlink(missing_ok=True)
                path.with_suffix(ABOUT).unlink(missing_ok=True)
                missing -= size
                logger.info("%s gave way to the image of %s", path.name, entry.version)
        if missing > 0:
            raise FarsiteError(
                ErrorCode.DISK_FULL,
                f"All downloaded images are needed by tasks under way, and {missing // MIB + 1} MiB are missing up to "
                "the limit (setting os_downloads_limit). Try again when they are done.",
            )
        free = shutil.disk_usage(self.folder).free
        if free < entry.bytes - have + SPARE:
            raise FarsiteError(
                ErrorCode.DISK_FULL,
                f"The disk that holds {self.folder} has {free // MIB} MiB free; the image needs "
                f"{(entry.bytes - have + SPARE) // MIB} MiB. Free some space and try again.",
            )

    def _may_go(self, path: Path) -> bool:
        busy = {image for image, turn in self._turns.items() if turn.locked()}
        kept = {*busy, *self._needed()}
        if path.suffix == PART:
            return path.stem not in kept
        return not any(path.stem.endswith(f"_{image[:8]}") for image in kept)

    def _files(self) -> list[tuple[Path, int, float]]:
        try:
            found = [
                path for path in self.folder.iterdir() if path.suffix in (PART, ".bin") and path.is_file()
            ]
            return [(path, (state := path.stat()).st_size, state.st_mtime) for path in found]
        except OSError:
            return []
