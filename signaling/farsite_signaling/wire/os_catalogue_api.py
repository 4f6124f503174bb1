"""REST schemas of the catalogue of AXIS OS images, and the index an operator hosts (`/api/v1/os/catalogue`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from farsite_signaling.wire.os_versions import parse

INDEX_FORMAT = "farsite-os-images/1"
MAX_IMAGES = 20_000
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
VersionText = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,7}$")]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class IndexedImage(BaseModel):
    """One image of an index. `file` is an address, relative to that of the index. `sha256` is over the whole file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str = Field(min_length=1, max_length=2000)
    version: VersionText
    models: list[ModelName] = Field(min_length=1, max_length=1000)
    bytes: int = Field(gt=0, le=2048 * 1024 * 1024)
    sha256: Digest
    upgradeable_from: list[Annotated[str, StringConstraints(max_length=64)]] = Field(
        default_factory=list, max_length=1000
    )
    release_notes: str | None = Field(default=None, max_length=2000, pattern=r"^https?://")


class CatalogueImage(BaseModel):
    """`stored`: the edge host has it already, in the operator's folder or downloaded."""

    model_config = ConfigDict(extra="ignore")

    id: Digest = Field(description="SHA-256 of the file, hex")
    version: str
    models: list[str]
    bytes: int
    track: str = ""
    release_notes: str | None = None
    stored: bool = False
    wanted: bool = Field(default=False, description="a managed device is of one of its models")


class OsCatalogue(BaseModel):
    """`problem`: why it could not be fetched the last time; what is listed is then as old as `fetched_at`."""

    model_config = ConfigDict(extra="ignore")

    url: str = Field(description="empty: no catalogue is set")
    signed: bool = Field(default=False, description="its signature was checked against the key that is set")
    fetched_at: datetime | None = None
    issued: datetime | None = None
    problem: str | None = None
    skipped: list[str] = Field(
        default_factory=list, description="entries that are not usable, the first of them"
    )
    images: list[CatalogueImage] = Field(default_factory=list)
    folder: str = Field(description="where images can be put by hand, without any network")
    stored_bytes: int = Field(default=0, description="of images downloaded")
    limit_bytes: int = Field(default=0, description="of images downloaded; the oldest give way")


class DownloadRequest(BaseModel):
    """Images by their id, or those of a model: a version of it, or the newest of its catalogue."""

    model_config = ConfigDict(extra="forbid")

    images: list[Digest] = Field(default_factory=list, max_length=100)
    model: str | None = Field(default=None, max_length=200)
    version: VersionText | None = None

    @model_validator(mode="after")
    def _one_way(self) -> DownloadRequest:
        if bool(self.images) == (self.model is not None):
            raise ValueError("name images by their id, or a model: one of them")
        if self.version is not None and (self.model is None or not parse(self.version)):
            raise ValueError("a version goes with a model")
        return self


class ImageIndex(BaseModel):
    """The document itself. Entries are checked one by one: a bad one does not spoil the others."""

    model_config = ConfigDict(extra="ignore")

    format: Literal["farsite-os-images/1"]
    issued: datetime | None = None
    images: list[object] = Field(max_length=MAX_IMAGES)
