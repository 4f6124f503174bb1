"""One image from the network to the disk: taken up where it broke off, also after a crash, and checked before use."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import aiohttp

from farsite_edge.axis_os.container import MIB, BadImage
from farsite_edge.axis_os.image import ImageInfo, read_image
from farsite_edge.os_catalogue.index import Entry
from farsite_edge.os_catalogue.outside import Outside, explained, unavailable
from farsite_edge.store.failures import storage_errors
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_versions import model_key, same

BLOCK = MIB
ATTEMPTS = 5
"""In a row that brought nothing."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
PART, ABOUT = ".part", ".about"
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
Told = Callable[[int], None]


class Download:
    """`await run()` once; a later one goes on from the bytes that are there. `told` gets how many there are."""

    def __init__(
        self, outside: Outside, entry: Entry, folder: Path, told: Told, pause: float = FIRST_PAUSE
    ) -> None:
        self._outside = outside
        self._entry = entry
        self._told = told
        self._first_pause = pause
        self.part = folder / f"{entry.id}{PART}"
        self._about = folder / f"{entry.id}{ABOUT}"

    async def run(self) -> Path:
        """The checked file, in the folder under its own name. Raises `unavailable` and what else `Outside` does,
        `disk_full`, `storage_failed`, and `conflict` when what came is not what the catalogue says."""
        await self._fetch_all()
        try:
            await asyncio.to_thread(self._check)
        except FarsiteError as error:
            if error.code is ErrorCode.CONFLICT:
                self.drop()
            raise
        target = self.part.with_name(file_name(self._entry))
        with storage_errors(self.part):
            self.part.replace(target)
            self._about.unlink(missing_ok=True)
        return target

    def drop(self) -> None:
        """What is there is of no use."""
        with contextlib.suppress(OSError):
            self.part.unlink(missing_ok=True)
            self._about.unlink(missing_ok=True)

    async def _fetch_all(self) -> None:
        failures, pause = 0, self._first_pause
        while (have := self._have()) < self._entry.bytes:
            try:
                await self._fetch(have)
            except FarsiteError as error:
                if error.code is not ErrorCode.UNAVAILABLE or getattr(error, "final", False):
                    raise
                failures = failures + 1 if self._have() <= have else 0
                if failures >= ATTEMPTS:
                    raise
                pause = min(LONGEST_PAUSE, pause * 2) if failures else self._first_pause
                await asyncio.sleep(pause)

    def _have(self) -> int:
        try:
            size = self.part.stat().st_size
        except OSError:
            return 0
        if size > self._entry.bytes:
            self.drop()
            return 0
        return size

    async def _fetch(self, have: int) -> None:
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and (validator := self._validator()):
            headers["If-Range"] = validator
        url = self._entry.url
        async with self._outside.get(url, headers) as response:
            if have and response.status == 416:
                self.drop()
                return
            start = self._start(response, have)
            self._note(response)
            try:
                await self._write(response, start)
            except FarsiteError:
                raise
            except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
                raise explained(url, error) from error

    def _start(self, response: aiohttp.ClientResponse, have: int) -> int:
        """Where its bytes belong. A server that knows no ranges, or has another file by now, sends all of it."""
        if response.status == 200:
            return 0
        given = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status == 206 and given and int(given[1]) == have:
            if given[3] not in ("*", str(self._entry.bytes)):
                raise self._other(f"it has {given[3]} bytes, the catalogue says {self._entry.bytes}")
            return have
        error = unavailable(
            self._entry.url, f"it answered {response.status} for the image of {self._entry.version}"
        )
        # Asked again, it says the same: 4xx but "too many" and "too slow".
        error.final = 400 <= response.status < 500 and response.status not in (408, 425, 429)  # type: ignore[attr-defined]
        raise error

    async def _write(self, response: aiohttp.ClientResponse, start: int) -> None:
        with storage_errors(self.part):
            opened = self.part.open("r+b" if start else "wb")
        with opened:
            opened.seek(start)
            have = await self._copy(response, opened, start)
            with storage_errors(self.part):
                await asyncio.to_thread(_to_disk, opened)
        if have < self._entry.bytes:
            raise unavailable(self._entry.url, f"the download broke off at {have // MIB} MiB")

    async def _copy(self, response: aiohttp.ClientResponse, opened: BinaryIO, have: int) -> int:
        """How many bytes there are then; what came before it breaks off is written, too."""
        buffer = bytearray()
        try:
            while part := await response.content.readany():
                buffer += part
                have += len(part)
                if have > self._entry.bytes:
                    buffer.clear()
                    raise self._other(f"it has more than the {self._entry.bytes} bytes the catalogue says")
                if len(buffer) >= BLOCK:  # not a thread for every packet
                    block, buffer = bytes(buffer), bytearray()
                    with storage_errors(self.part):
                        await asyncio.to_thread(opened.write, block)
                self._told(have)
        finally:
            with storage_errors(self.part):
                opened.write(buffer)
        return have

    def _validator(self) -> str:
        try:
            kept = json.loads(self._about.read_text())
        except (OSError, ValueError):
            return ""
        found = kept.get("validator") if isinstance(kept, dict) else None
        return found if isinstance(found, str) else ""

    def _note(self, response: aiohttp.ClientResponse) -> None:
        """A strong ETag, or the date: what a later If-Range may name (RFC 9110, 13.1.5)."""
        etag = response.headers.get("ETag", "")
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
        with storage_errors(self._about):
            self._about.write_text(json.dumps({"validator": validator[:200]}))

    def _check(self) -> None:
        entry = self._entry
        try:
            digest, info = read_image(self.part)
        except BadImage as error:
            raise self._other(str(error)) from None
        except OSError as error:
            raise FarsiteError(
                ErrorCode.STORAGE_FAILED, f"{self.part} cannot be read: {error.strerror}."
            ) from error
        if digest != entry.id:
            raise self._other("its checksum (SHA-256) is another one")
        if wrong := _unlike(entry, info):
            raise self._other(wrong)

    def _other(self, reason: str) -> FarsiteError:
        return FarsiteError(
            ErrorCode.CONFLICT,
            f"What was downloaded is not the image of {self._entry.version} the catalogue promises: {reason}. "
            "It was thrown away. Have the catalogue corrected.",
        )


def _unlike(entry: Entry, info: ImageInfo) -> str | None:
    """How the image's own words differ from the catalogue's."""
    if not same(info.release, entry.version):
        return f"it says it is {info.release[:64]}"
    own = {model_key(model) for model in info.models}
    others = [model for model in entry.models if model_key(model) not in own]
    return f"it is not for {', '.join(others)[:200]}" if others else None


def file_name(entry: Entry) -> str:
    """As the vendor names images, with enough of the checksum to tell two of them apart."""
    model = re.sub(r"[^A-Za-z0-9-]", "_", entry.models[0])[:60]
    return f"{model}_{entry.version.replace('.', '_')}_{entry.id[:8]}.bin"


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
