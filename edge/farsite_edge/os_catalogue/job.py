"""Downloads of images as tasks: progress, cancelling, going on after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pydantic import BaseModel, ConfigDict

from farsite_edge.axis_os.container import MIB
from farsite_edge.os_catalogue.catalogue import Catalogue
from farsite_edge.os_catalogue.downloads import Downloads
from farsite_edge.os_catalogue.index import Entry
from farsite_edge.tasks import Outcome, Work
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

DOWNLOAD = "os.download"
TELL_SECONDS = 0.5


class Payload(BaseModel):
    model_config = ConfigDict(extra="ignore")

    image: str


class DownloadJob:
    """`os.download`: the rows are images, not devices."""

    def __init__(self, catalogue: Catalogue, downloads: Downloads) -> None:
        self._catalogue = catalogue
        self._downloads = downloads

    def hold(self, device: str) -> None:
        """No device is held."""

    async def release(self, device: str) -> None:
        """Nothing was held."""

    async def __call__(self, work: Work) -> Outcome:
        entry = found(self._catalogue, Payload.model_validate(work.payload).image)
        if self._downloads.stored(entry):
            return Outcome.skipped(f"The image of {entry.version} is here already.", None)
        await work.checkpoint({}, "download", f"Downloads {entry.version} ({entry.bytes / MIB:.0f} MiB).")
        if not await fetched(self._downloads, entry, work):
            return Outcome(WorkState.CANCELLED, "Cancelled; what is there is kept for the next time.")
        return Outcome(WorkState.SUCCEEDED, f"Downloaded and checked: {entry.version}.")


def found(catalogue: Catalogue, image: str) -> Entry:
    """Raises `not_found`."""
    entry = catalogue.entry(image)
    if entry is None:
        detail = f"The image {image[:12]}… is not in the catalogue any more."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    return entry


async def fetched(downloads: Downloads, entry: Entry, work: Work, *, share: float = 1.0) -> bool:
    """Whether it was fetched: False when the work was cancelled before. `share` of the work's progress is its own."""
    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(_caught(downloads.fetch(entry)), name="image-download")
        stopping = group.create_task(work.cancelling.wait(), name="image-download-cancel")
        while not fetching.done() and not stopping.done():
            await asyncio.wait(
                {fetching, stopping}, timeout=TELL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            work.progress(downloads.share(entry) * share)
        cancelled = not fetching.done()
        fetching.cancel()
        stopping.cancel()
    if not cancelled and (error := fetching.result()) is not None:
        raise error
    return not cancelled


async def _caught(work: Awaitable[None]) -> Exception | None:
    """Its exception as a result: in a group it would end the others."""
    try:
        await work
    except Exception as error:
        return error
    return None
