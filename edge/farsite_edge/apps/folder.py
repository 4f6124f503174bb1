"""The operator's folder of app packages, by what the packages say of themselves."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from farsite_edge.apps.package import BadPackage, PackageFacts, read_package
from farsite_edge.axis_os.upload import blocks
from farsite_signaling.wire.apps_api import AppPackage
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_FILES = 2000
SUFFIX = ".eap"
Key = tuple[str, int, int]


@dataclass(frozen=True)
class PackageFile:
    """A package that can be used, and where it is."""

    digest: str
    facts: PackageFacts
    path: Path
    size: int

    async def blocks(self) -> AsyncIterator[bytes]:
        """Raises `not_found` when it was taken away, `conflict` when it was changed."""
        try:
            file = await asyncio.to_thread(self.path.open, "rb")
        except OSError:
            detail = f"The package {self.path.name} is not in the folder any more."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail) from None
        with file:
            async for block in blocks(file, self.path, self.size, self.digest):
                yield block


class AppFolder:
    """What has been read of a file is kept for as long as its size and time of change stay the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Key, PackageFile | str] = {}
        self._turn = asyncio.Lock()

    async def packages(self) -> list[AppPackage]:
        """All files, good and bad, by name. Raises `storage_failed` when the folder cannot be read."""
        return [_shown(key, one) for key, one in (await self._read()).items()]

    async def usable(self) -> list[PackageFile]:
        return [one for one in (await self._read()).values() if isinstance(one, PackageFile)]

    async def by_digest(self, digest: str) -> PackageFile:
        """Raises `not_found`."""
        for one in await self.usable():
            if one.digest == digest:
                return one
        detail = f"The package {digest[:12]}… is not in the folder {self.folder} any more, or was changed."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)

    async def _read(self) -> dict[Key, PackageFile | str]:
        async with self._turn:
            found = await asyncio.to_thread(self._files)
            known = self._known
            self._known = {
                key: known[key] if key in known else await asyncio.to_thread(self._one, key) for key in found
            }
            return dict(self._known)

    def _files(self) -> list[Key]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Links are not followed: the folder's files are read, no others.
            entries = sorted(entry for entry in self.folder.iterdir() if entry.name.lower().endswith(SUFFIX))
            states = [(entry.name, entry.lstat()) for entry in entries[:MAX_FILES]]
        except OSError as error:
            detail = f"The app folder {self.folder} cannot be read: {error.strerror or error}."
            raise FarsiteError(ErrorCode.STORAGE_FAILED, detail) from error
        return [(name, one.st_size, one.st_mtime_ns) for name, one in states if stat.S_ISREG(one.st_mode)]

    def _one(self, key: Key) -> PackageFile | str:
        path = self.folder / key[0]
        try:
            digest, facts = read_package(path)
        except BadPackage as error:
            return str(error)
        except OSError as error:
            return f"It cannot be read: {error.strerror}."
        return PackageFile(digest, facts, path, key[1])


def _shown(key: Key, one: PackageFile | str) -> AppPackage:
    name, size, _ = key
    if isinstance(one, str):
        return AppPackage(id="", file=name, bytes=size, problem=one)
    facts = one.facts
    return AppPackage(
        id=one.digest,
        file=name,
        bytes=size,
        name=facts.name,
        title=facts.title,
        vendor=facts.vendor,
        version=facts.version,
        architecture=facts.architecture,
        requires=facts.requires,
        until=facts.until,
        signed=facts.signed,
    )
