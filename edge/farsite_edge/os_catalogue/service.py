"""What users see of the catalogue, and ask of it."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from farsite_edge.axis_os.container import MIB
from farsite_edge.axis_os.folder import OFFERED, ImageFile
from farsite_edge.devices import Registry
from farsite_edge.os_catalogue.catalogue import Catalogue
from farsite_edge.os_catalogue.download import file_name
from farsite_edge.os_catalogue.downloads import Downloads
from farsite_edge.os_catalogue.index import Entry
from farsite_edge.os_catalogue.job import DOWNLOAD, Payload, fetched, found
from farsite_edge.tasks import TaskRecord, TaskRunner, Work, WorkRow
from farsite_signaling.wire.edge_tasks import OsImage, Rollout
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_catalogue_api import CatalogueImage, DownloadRequest, OsCatalogue
from farsite_signaling.wire.os_versions import model_key, parse, same, track_of

MAX_OFFERS = 2000
DOWNLOAD_SHARE = 0.2
"""Of the way of a device that waits for its image."""
Stored = Callable[[], Awaitable[list[ImageFile]]]


class CatalogueService:
    """`folder` is where the operator puts images: what is offered when there is no network. `runner` is set when the
    parts are put together."""

    runner: TaskRunner

    def __init__(self, catalogue: Catalogue, downloads: Downloads, registry: Registry, folder: str) -> None:
        self.catalogue = catalogue
        self.downloads = downloads
        self._registry = registry
        self._folder = folder

    def shown(self) -> OsCatalogue:
        catalogue = self.catalogue
        models = self._models()
        images = [self._shown(entry, models) for entry in catalogue.entries()]
        return OsCatalogue(
            url=catalogue.url,
            signed=catalogue.signed,
            fetched_at=catalogue.fetched_at,
            issued=catalogue.index.issued,
            problem=catalogue.problem,
            skipped=catalogue.index.skipped,
            images=sorted(images, key=lambda one: (one.models, _descending(one.version))),
            folder=self._folder,
            stored_bytes=self.downloads.used(),
            limit_bytes=self.downloads.limit,
        )

    async def refresh(self) -> OsCatalogue:
        """Raises what kept it from being fetched."""
        await self.catalogue.refresh()
        return self.shown()

    def offers(self) -> list[OsImage]:
        """For the models of managed devices; what is here already is among them."""
        models = self._models()
        chosen = [entry for entry in self.catalogue.entries() if _is_for(entry, models)]
        return [_offer(entry) for entry in chosen[:MAX_OFFERS]]

    def offered(self, stored: Iterable[ImageFile]) -> list[ImageFile]:
        """What could be downloaded, as if it were here; its path is not."""
        here = {file.image.id for file in stored}
        wanted = [offer for offer in self.offers() if offer.id not in here]
        return [ImageFile(offer, self.downloads.folder / offer.file) for offer in wanted]

    async def download(
        self, request: DownloadRequest, *, actor: str, session: str | None, idempotency: str | None
    ) -> TaskRecord:
        """Raises `not_found` when the catalogue has no such image."""
        entries = self._chosen(request)
        task = uuid.uuid4().hex
        record = TaskRecord(
            id=task,
            kind=DOWNLOAD,
            title=f"Download of {_named(entries)}",
            actor=actor,
            session=session,
            created_at=datetime.now(UTC),
            rollout=Rollout(parallel=2, max_failures=max(1, len(entries))),
        )
        rows = [
            WorkRow(task, number, _row_name(entry), Payload(image=entry.id).model_dump())
            for number, entry in enumerate(entries)
        ]
        return await self.runner.submit(record, rows, idempotency)

    async def ensure(self, images: Iterable[str], stored: Stored, work: Work, memory: dict[str, Any]) -> bool:
        """Download what an upgrade needs and is not here yet; False: it was cancelled before. Raises what `fetch` does,
        saying where the image could be put instead."""
        known = [entry for image in images if (entry := self.catalogue.entry(image)) is not None]
        missing = [entry for entry in known if not self.downloads.stored(entry)]
        here = {file.image.id for file in await stored()} if missing else set()
        for entry in missing:
            if entry.id in here:
                continue
            await work.checkpoint(
                memory, "image", f"Downloads {entry.version} ({entry.bytes / MIB:.0f} MiB)."
            )
            try:
                if not await fetched(self.downloads, entry, work, share=DOWNLOAD_SHARE):
                    return False
            except FarsiteError as error:
                detail = f"{error.detail} The image of {entry.version} can be put into the folder {self._folder} instead."
                raise FarsiteError(error.code, detail) from error
        return True

    def _chosen(self, request: DownloadRequest) -> list[Entry]:
        if request.model is None:
            return [found(self.catalogue, image) for image in dict.fromkeys(request.images)]
        of_model = [one for one in self.catalogue.entries() if _is_for(one, {model_key(request.model)})]
        wanted = [one for one in of_model if request.version is None or same(one.version, request.version)]
        if not wanted:
            raise self._none(request, of_model)
        return [max(wanted, key=lambda one: parse(one.version))]

    def _none(self, request: DownloadRequest, of_model: list[Entry]) -> FarsiteError:
        if self.catalogue.fetched_at is None:
            reason = self.catalogue.problem or "No catalogue has been fetched yet."
            detail = f"{reason} Images can be put into the folder {self._folder}."
        else:
            there = ", ".join(sorted({one.version for one in of_model}, key=parse, reverse=True))[:300]
            wanted = f" of {request.version}" if request.version else ""
            detail = (
                f"The catalogue has no image{wanted} for {request.model}; there is {there or 'none at all'}."
            )
        return FarsiteError(ErrorCode.NOT_FOUND, detail)

    def _models(self) -> set[str]:
        return {model_key(record.model) for record in self._registry.all(managed=True) if record.model}

    def _shown(self, entry: Entry, models: set[str]) -> CatalogueImage:
        return CatalogueImage(
            id=entry.id,
            version=entry.version,
            models=entry.models,
            bytes=entry.bytes,
            track=track_of(entry.version).name,
            release_notes=entry.release_notes,
            stored=self.downloads.stored(entry),
            wanted=_is_for(entry, models),
        )


def _is_for(entry: Entry, models: set[str]) -> bool:
    return any(model_key(model) in models for model in entry.models)


def _offer(entry: Entry) -> OsImage:
    return OsImage(
        id=entry.id,
        file=f"{OFFERED}{file_name(entry)}",
        bytes=entry.bytes,
        version=entry.version,
        models=entry.models,
        upgradeable_from=entry.upgradeable_from,
    )


def _row_name(entry: Entry) -> str:
    """What a download is listed under where other tasks have a device."""
    return file_name(entry).removesuffix(".bin")[-64:].lstrip("_-")


def _named(entries: list[Entry]) -> str:
    first = f"AXIS OS {entries[0].version} for {', '.join(entries[0].models)}"[:200]
    return first if len(entries) == 1 else f"{len(entries)} AXIS OS images"


def _descending(version: str) -> tuple[int, ...]:
    return tuple(-part for part in parse(version))
