"""What the edge host has of images: those in its folder, the catalogue, and downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from farsite_edge.axis_os.folder import ImageFolder
from farsite_edge.core import EdgeCore
from farsite_edge.devices import Registry
from farsite_edge.os_catalogue.catalogue import Catalogue
from farsite_edge.os_catalogue.downloads import Downloads
from farsite_edge.os_catalogue.job import DownloadJob
from farsite_edge.os_catalogue.outside import Outside
from farsite_edge.os_catalogue.service import CatalogueService


class ImageHost:
    """`needed` names images that work under way will send to devices."""

    def __init__(self, core: EdgeCore, registry: Registry, needed: Callable[[], Iterable[str]]) -> None:
        settings, outside = core.settings, Outside(core.settings, core.preferences)
        downloads = Downloads(
            settings.data_dir / "os-downloads", outside, settings.os_downloads_limit, needed
        )
        self.catalogue = Catalogue(settings, core.facts, outside)
        folder = settings.os_images or settings.data_dir / "images"
        self.service = CatalogueService(self.catalogue, downloads, registry, str(folder))
        self.folder = ImageFolder(folder, core.database, downloads.folder, self.service.offers)
        self.job = DownloadJob(self.catalogue, downloads)
