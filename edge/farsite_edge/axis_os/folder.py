"""The images there are, in the operator's folder and downloaded, indexed by what they say of themselves."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from farsite_edge.axis_os.container import BadImage
from farsite_edge.axis_os.image import read_image
from farsite_edge.store import Database
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.edge_tasks import OsImage
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_versions import model_key, parse

MAX_FILES = 2000
SUFFIX = ".bin"
DOWNLOADED = "downloads/"
"""Before the names of downloaded files: a name in a folder has no stroke."""
OFFERED = "catalogue/"
Key = tuple[str, int, int]  # name, size, time of change
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFile:
    """An image that can be used, and where it is."""

    image: OsImage
    path: Path

    @property
    def version(self) -> str:
        return self.image.version


class ImageFolder:
    """What has been read of a file is kept for as long as its size and time of change stay the same.

    `offers` are images that can be downloaded: kept beside the others, so that the cloud knows of them, too.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        downloads: Path | None = None,
        offers: Callable[[], Iterable[OsImage]] = tuple,
    ) -> None:
        self.folder = folder
        self._downloads = downloads
        self._offers = offers
        self._database = database
        self._turn = asyncio.Lock()

    async def images(self) -> list[OsImage]:
        """All files, good and bad, by name. Raises `storage_failed` when the folder cannot be read."""
        async with self._turn:
            known = await self._known()
            found = await asyncio.to_thread(self._files)
            images = [known.get(key) or await self._read(key) for key in found]
            offered = await self._offered(known, {image.id for image in images})
            await self._forget(set(known) - set(found) - offered)
            return images

    async def _offered(self, known: Mapping[Key, OsImage], stored: set[str]) -> set[Key]:
        """Write down what can be downloaded and is not here yet."""
        keys: set[Key] = set()
        for image in self._offers():
            key = (image.file, image.bytes, 0)
            if image.id in stored:
                continue
            keys.add(key)
            if known.get(key) != image:
                await self._keep(key, image)
        return keys

    async def usable(self) -> list[ImageFile]:
        images = await self.images()
        return [ImageFile(image, self._path(image.file)) for image in images if image.problem is None]

    def _path(self, file: str) -> Path:
        if self._downloads is not None and file.startswith(DOWNLOADED):
            return self._downloads / file.removeprefix(DOWNLOADED)
        return self.folder / file

    async def by_id(self, image: str) -> ImageFile:
        """Raises `not_found`: the operator took the file away."""
        for file in await self.usable():
            if file.image.id == image:
                return file
        raise FarsiteError(
            ErrorCode.NOT_FOUND,
            f"The image {image[:12]}… is not in the folder {self.folder} any more, or the file was changed. "
            "Start a new upgrade with what is there now.",
        )

    def _files(self) -> list[Key]:
        downloaded = [] if self._downloads is None else _listed(self._downloads, DOWNLOADED)
        return [*_listed(self.folder, ""), *downloaded]

    async def _read(self, key: Key) -> OsImage:
        name, size, _ = key
        try:
            digest, info = await asyncio.to_thread(read_image, self._path(name))
        except BadImage as error:
            image = OsImage(id="", file=name, bytes=size, problem=str(error))
        except OSError as error:
            # Not kept: it may be readable next time.
            return OsImage(id="", file=name, bytes=size, problem=f"It cannot be read: {error.strerror}.")
        else:
            image = OsImage(
                id=digest,
                file=name,
                bytes=size,
                version=clean(info.release),
                models=info.models,
                part_number=clean(info.part_number),
                upgradeable_from=[clean(one, 64) for one in info.upgradeable_from],
            )
        await self._keep(key, image)
        return image

    async def _known(self) -> dict[Key, OsImage]:
        known: dict[Key, OsImage] = {}
        for row in await self._database.fetch("SELECT * FROM os_images"):
            try:
                image = OsImage.model_validate_json(row["record"])
            except ValidationError:
                continue
            known[row["file"], row["size"], row["modified"]] = image
        return known

    async def _keep(self, key: Key, image: OsImage) -> None:
        sql = "INSERT OR REPLACE INTO os_images VALUES (?, ?, ?, ?)"
        await self._database.execute(sql, (*key, image.model_dump_json()))

    async def _forget(self, gone: Iterable[Key]) -> None:
        sql = "DELETE FROM os_images WHERE file = ? AND size = ? AND modified = ?"
        for key in gone:
            await self._database.execute(sql, key)


def _listed(folder: Path, prefix: str) -> list[Key]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Links are not followed: the folder's files are read, no others.
        entries = sorted(entry for entry in folder.iterdir() if entry.name.lower().endswith(SUFFIX))
        states = [(entry.name, entry.lstat()) for entry in entries[:MAX_FILES]]
    except OSError as error:
        raise FarsiteError(
            ErrorCode.STORAGE_FAILED, f"The image folder {folder} cannot be read: {error.strerror or error}."
        ) from error
    return [
        (prefix + name, one.st_size, one.st_mtime_ns) for name, one in states if stat.S_ISREG(one.st_mode)
    ]


def for_model(images: Iterable[ImageFile], model: str) -> dict[str, ImageFile]:
    """Images of a model by version. Of two files with the same version the first by name is taken."""
    chosen: dict[str, ImageFile] = {}
    wanted = model_key(model)
    for file in images:
        if any(model_key(one) == wanted for one in file.image.models):
            chosen.setdefault(file.version, file)
    return dict(sorted(chosen.items(), key=lambda item: parse(item[0]), reverse=True))
