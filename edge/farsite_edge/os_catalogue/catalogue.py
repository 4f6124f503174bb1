"""The catalogue of one edge host: fetched now and then, kept on disk, there without a network too."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from farsite_edge.os_catalogue.index import (
    MAX_INDEX,
    Entry,
    Index,
    check_signature,
    checked_url,
    public_key,
    read_index,
)
from farsite_edge.os_catalogue.outside import Outside, explained, unavailable
from farsite_edge.settings import EdgeSettings
from farsite_edge.store import Facts
from farsite_edge.store.failures import storage_errors
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

FILE = "os-catalogue.json"
FACT = "os_catalogue"
FETCH_SECONDS = 120.0
MAX_SIGNATURE = 1024
logger = logging.getLogger(__name__)


class _Kept(BaseModel):
    """About the file on disk. `key` is the one its signature was checked with."""

    model_config = ConfigDict(extra="ignore")

    url: str
    key: str = ""
    etag: str = ""
    fetched_at: datetime


class Catalogue:
    """`load()` first, then `run()` for ever. Without an address it is empty and does nothing."""

    def __init__(self, settings: EdgeSettings, facts: Facts, outside: Outside) -> None:
        self._key = public_key(settings.os_catalogue_key) if settings.os_catalogue_key else None
        self.url = (
            checked_url(settings.os_catalogue, signed=self._key is not None) if settings.os_catalogue else ""
        )
        self._key_text = settings.os_catalogue_key
        self._interval = settings.os_catalogue_interval
        self._file = settings.data_dir / FILE
        self._facts = facts
        self._outside = outside
        self._turn = asyncio.Lock()
        self.index = Index({})
        self.fetched_at: datetime | None = None
        self.problem: str | None = None

    @property
    def signed(self) -> bool:
        return self._key is not None

    def entry(self, image: str) -> Entry | None:
        return self.index.entries.get(image)

    def entries(self) -> Iterable[Entry]:
        return self.index.entries.values()

    async def load(self) -> None:
        """What was fetched before, unless it is of another address or key."""
        kept = self._kept()
        if kept is None:
            return
        try:
            document = await asyncio.to_thread(self._file.read_bytes)
            self.index, self.fetched_at = read_index(document, self.url), kept.fetched_at
        except (OSError, FarsiteError) as error:
            logger.warning("the catalogue kept at %s cannot be read: %s", self._file, error)

    async def run(self) -> None:
        while True:
            if self.url:
                try:
                    await self.refresh()
                except FarsiteError as error:
                    logger.warning("catalogue of images: %s", error)
            await asyncio.sleep(self._interval)

    async def refresh(self) -> None:
        """Fetch it now. What was known stays when that fails. Raises what `Outside` does, `signature_invalid`,
        `precondition_failed` when no address is set."""
        if not self.url:
            raise FarsiteError(
                ErrorCode.PRECONDITION_FAILED,
                "No catalogue is set for this edge host (setting os_catalogue). Images can be put into its folder.",
            )
        async with self._turn:
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    await self._fetch()
            except TimeoutError as error:
                self.problem = explained(self.url, error).detail
                raise explained(self.url, error) from None
            except FarsiteError as error:
                self.problem = error.detail
                raise
            self.problem = None

    async def _fetch(self) -> None:
        kept = self._kept() if self.fetched_at else None
        asked = {"If-None-Match": kept.etag} if kept and kept.etag else {}
        document, etag = await self._get(self.url, asked, MAX_INDEX)
        now = datetime.now(UTC)
        if document is None:
            await self._note(etag or (kept.etag if kept else ""), now)
            return
        if self._key is not None:
            signature, _ = await self._get(f"{self.url}.sig", {}, MAX_SIGNATURE)
            check_signature(self._key, document, signature or b"")
        index = read_index(document, self.url)
        self._check_age(index)
        with storage_errors(self._file):
            await asyncio.to_thread(_write, self._file, document)
        await self._note(etag, now)
        self.index = index
        logger.info(
            "catalogue of images: %d images, %d entries left out", len(index.entries), len(index.skipped)
        )

    def _check_age(self, index: Index) -> None:
        """Whoever stands between may keep a signed index and show it again later."""
        known = self.index.issued
        if self.signed and known is not None and (index.issued is None or index.issued < known):
            raise unavailable(
                self.url, f"its catalogue is older than the one of {known:%Y-%m-%d %H:%M} UTC known here"
            )

    async def _get(self, url: str, headers: dict[str, str], limit: int) -> tuple[bytes | None, str]:
        """Content and ETag; None when it did not change."""
        async with self._outside.get(url, headers) as response:
            if response.status == 304 and headers:
                return None, response.headers.get("ETag", "")[:200]
            if response.status != 200:
                raise unavailable(url, f"it answered {response.status} for the catalogue")
            data = bytearray()
            try:
                async for part in response.content.iter_any():
                    data += part
                    if len(data) > limit:
                        raise unavailable(url, f"what it sent is larger than {limit // 1024} KiB")
            except FarsiteError:
                raise
            except Exception as error:
                raise explained(url, error) from error
            return bytes(data), response.headers.get("ETag", "")[:200]

    async def _note(self, etag: str, now: datetime) -> None:
        kept = _Kept(url=self.url, key=self._key_text, etag=etag, fetched_at=now)
        await self._facts.set({FACT: kept.model_dump_json()})
        self.fetched_at = now

    def _kept(self) -> _Kept | None:
        text = self._facts.get(FACT)
        try:
            kept = _Kept.model_validate_json(text) if text else None
        except ValidationError:
            return None
        return kept if kept and (kept.url, kept.key) == (self.url, self._key_text) else None


def _write(file: Path, document: bytes) -> None:
    part = file.with_suffix(".part")
    with part.open("wb") as opened:
        opened.write(document)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)
