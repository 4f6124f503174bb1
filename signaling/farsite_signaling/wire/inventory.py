"""What an edge host tells the cloud about its devices, images and tasks: changes over the hub, numbered.

    edge host                                   cloud
      | -- inventory_delta epoch, after, last -> |   changes after `after`, up to `last`
      | <-------- inventory_accepted, position - |   kept: the edge host forgets that it has to send them
      | <---------- inventory_wanted, position - |   not taken: go on from there, or start anew
      | <------------- tags_set, tags ---------- |   tags changed in the cloud; they come back with the facts

An edge host numbers its changes; the newest change of a thing replaces those before. An `epoch` names one numbering.
The cloud takes a delta that begins where the one before ended, or one of a new epoch that begins at 0: that one
starts a snapshot, and what its batches up to `complete` did not name is gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from farsite_signaling.wire.edge_tasks import TaskState, WorkCounts, WorkState
from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.schema import _Frozen

MAX_CHANGES = 200
"""Things named by one delta; it also stays within the hub's message size."""
MAX_TAGS = 50
MAX_TAG = 64


class TagMark(_Frozen):
    """A tag put on or taken off, and when: of two marks for one tag the later counts, put on when both are as old."""

    tag: str = Field(min_length=1, max_length=MAX_TAG)
    on: bool = True
    at: datetime


class DeviceFacts(_Frozen):
    """A managed device. `state` is a word of `edge_api.DeviceState`, or a newer one."""

    serial: Id
    name: str = Field(default="", max_length=200)
    hostname: str = Field(default="", max_length=255)
    model: str = Field(default="", max_length=200)
    product: str = Field(default="", max_length=200)
    device_type: str = Field(default="", max_length=200)
    version: str = Field(default="", max_length=200)
    state: str = Field(max_length=40)
    address: str = Field(default="", max_length=100)
    addresses: list[str] = Field(default_factory=list, max_length=32)
    http_port: int = 80
    https_port: int | None = None
    capabilities: list[str] = Field(default_factory=list, max_length=32)
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    last_error: str = Field(default="", max_length=500)
    tags: list[TagMark] = Field(default_factory=list, max_length=2 * MAX_TAGS)


class ImageFacts(_Frozen):
    """A device image in the edge host's folder that can be installed."""

    file: str = Field(max_length=300)
    id: str = Field(max_length=64, description="SHA-256 of the file, hex")
    version: str = Field(max_length=64)
    models: list[str] = Field(default_factory=list, max_length=200)


class TaskFacts(_Frozen):
    """A task of the edge host, without its devices."""

    id: Id
    kind: str = Field(max_length=100)
    title: str = Field(default="", max_length=300)
    state: TaskState
    actor: str = Field(default="", max_length=400)
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    detail: str = Field(default="", max_length=1000)
    retry_of: str | None = Field(default=None, max_length=64)
    counts: WorkCounts = Field(default_factory=WorkCounts)


class WorkFacts(_Frozen):
    """What a task did, or does, with one device."""

    task: Id
    position: int = Field(ge=0)
    device: str = Field(max_length=64)
    state: WorkState
    step: str = Field(default="", max_length=100)
    detail: str = Field(default="", max_length=1000)
    code: str | None = Field(default=None, max_length=64)


class InventoryDelta(_Frozen):
    """From an edge host: what changed after `after`, in order. `complete`: the snapshot the epoch began with is whole."""

    type: Literal["inventory_delta"] = "inventory_delta"
    epoch: Id
    after: int = Field(ge=0)
    last: int = Field(ge=0)
    complete: bool = True
    devices: list[DeviceFacts] = Field(default_factory=list, max_length=MAX_CHANGES)
    devices_gone: list[Id] = Field(default_factory=list, max_length=MAX_CHANGES)
    images: list[ImageFacts] = Field(default_factory=list, max_length=MAX_CHANGES)
    images_gone: list[str] = Field(default_factory=list, max_length=MAX_CHANGES)
    tasks: list[TaskFacts] = Field(default_factory=list, max_length=MAX_CHANGES)
    work: list[WorkFacts] = Field(default_factory=list, max_length=MAX_CHANGES)
    tags: list[TagMark] | None = Field(
        default=None, max_length=2 * MAX_TAGS, description="the edge host's own"
    )


class InventoryAccepted(_Frozen):
    type: Literal["inventory_accepted"] = "inventory_accepted"
    epoch: Id
    position: int


class InventoryWanted(_Frozen):
    """The delta did not fit: the cloud has this much, or nothing at all (`epoch` none)."""

    type: Literal["inventory_wanted"] = "inventory_wanted"
    epoch: str | None = Field(default=None, max_length=64)
    position: int = Field(default=0, ge=0)


class ThingTags(_Frozen):
    """Marks of one device, or of the edge host itself (`serial` none)."""

    serial: str | None = Field(default=None, max_length=64)
    marks: list[TagMark] = Field(max_length=2 * MAX_TAGS)


class TagsSet(_Frozen):
    """To an edge host: marks made in the cloud. Sent again until the facts it reports carry them."""

    type: Literal["tags_set"] = "tags_set"
    things: list[ThingTags] = Field(max_length=MAX_CHANGES)
