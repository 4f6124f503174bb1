"""REST schemas of the inventory: devices of a whole organization, tags, views, AXIS OS by model, tasks of edge hosts."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from farsite_signaling.wire.cloud_api import Page, PageAnswer, Title
from farsite_signaling.wire.edge_tasks import OsState, TaskState, WorkCounts, WorkState
from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.inventory import MAX_TAG, MAX_TAGS
from farsite_signaling.wire.schema import Tag, _Request, _Schema

MAX_TEXT = 200


# Tags


class TagChange(_Request):
    """Letters' case does not matter; spaces around a tag are dropped."""

    add: list[str] = Field(default_factory=list, max_length=MAX_TAGS)
    remove: list[str] = Field(default_factory=list, max_length=MAX_TAGS)


class TagNames(_Schema):
    tags: list[str]


class TagsRequest(TagChange):
    """For many devices at once, named by their ids in the cloud."""

    devices: list[Id] = Field(min_length=1, max_length=1000)


class TagsResult(_Schema):
    changed: int = Field(description="devices whose tags are others now")


class TagCount(_Schema):
    tag: str
    devices: int = 0
    edge_hosts: int = 0


class TagCounts(_Schema):
    tags: list[TagCount]


# Devices


class DeviceSort(StrEnum):
    """By name and then by what tells equals apart; `-` before it turns the order round."""

    NAME = "name"
    SERIAL = "serial"
    MODEL = "model"
    VERSION = "version"
    STATE = "state"
    ADDRESS = "address"
    NAME_DOWN = "-name"
    SERIAL_DOWN = "-serial"
    MODEL_DOWN = "-model"
    VERSION_DOWN = "-version"
    STATE_DOWN = "-state"
    ADDRESS_DOWN = "-address"


class DeviceFilter(_Request):
    """Every field narrows; several values of one field, with commas between them, widen it."""

    q: str | None = Field(
        default=None,
        max_length=MAX_TEXT,
        description="text in name, serial number, address or model; every word must be there",
    )
    edge_host: str | None = Field(default=None, max_length=2000, description="ids")
    folder: str | None = Field(default=None, max_length=64, description="id; with the folders below it")
    model: str | None = Field(default=None, max_length=2000)
    device_type: str | None = Field(default=None, max_length=2000)
    version: str | None = Field(default=None, max_length=2000)
    state: str | None = Field(default=None, max_length=500)
    tag: str | None = Field(default=None, max_length=MAX_TAGS * (MAX_TAG + 1), description="all of them")
    support_ended: bool | None = Field(default=None, description="of the AXIS OS track, or of the model")
    update_available: bool | None = None


class DeviceQuery(DeviceFilter, Page):
    cursor: str | None = Field(default=None, max_length=1500)
    sort: DeviceSort = DeviceSort.NAME


class ExportQuery(DeviceFilter):
    format: Literal["csv", "json"] = "csv"
    columns: str | None = Field(default=None, max_length=1000, description="names with commas between them")
    sort: DeviceSort = DeviceSort.NAME


class Catalogued(_Schema):
    """What the operator's catalogue knows of a model."""

    warranty_months: int | None = None
    hardware_support_end: date | None = None
    software_support_end: date | None = None
    tracks: dict[str, str] = Field(default_factory=dict, description="newest release by track")
    replacement: str | None = None


class InventoryDevice(_Schema):
    """A managed device as its edge host last told it. `warranty_until` needs the catalogue and a first sight."""

    id: str
    serial: str
    name: str
    hostname: str = ""
    edge_host_id: str
    edge_host: str = Field(description="its name")
    edge_online: bool = Field(description="false: what is shown is as old as `changed_at`")
    folder_id: str
    model: str = ""
    product: str = ""
    device_type: str = ""
    version: str = ""
    track: str = ""
    support_end: date | None = Field(default=None, description="of the track of its version")
    support_ended: bool = False
    recommended: str | None = None
    update_available: bool = False
    state: str
    address: str = ""
    addresses: list[str] = Field(default_factory=list)
    http_port: int = 80
    https_port: int | None = None
    capabilities: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    last_error: str = ""
    changed_at: datetime
    warranty_until: date | None = None
    warranty_basis: Literal["first_seen"] | None = None
    catalogue: Catalogued | None = None


class InventoryDeviceList(PageAnswer):
    devices: list[InventoryDevice]


class Facet(_Schema):
    value: str
    count: int


class DeviceCounts(_Schema):
    """How many devices a filter leaves, and by what: the most frequent values of each, at most 200."""

    total: int
    model: list[Facet]
    device_type: list[Facet]
    version: list[Facet]
    state: list[Facet]
    edge_host: list[Facet]
    tag: list[Facet]
    support_ended: int
    update_available: int


# AXIS OS over the whole organization


class OsOverviewVersion(_Schema):
    version: str
    count: int
    track: str
    support_end: date | None = None
    state: OsState
    recommended: str | None = None
    crosses_major: bool = False


class OsOverviewChoice(_Schema):
    """A release; `edge_hosts` have its image in their folders."""

    version: str
    track: str
    crosses_major: bool = False
    edge_hosts: int = 0


class OsOverviewRow(_Schema):
    """One model. Track, support end, recommended version and state are those of its oldest version."""

    model: str
    product: str = ""
    devices: int
    versions: list[OsOverviewVersion] = Field(description="oldest first")
    track: str = ""
    support_end: date | None = None
    recommended: str | None = None
    crosses_major: bool = False
    available: list[OsOverviewChoice] = Field(default_factory=list, description="newest first")
    release_notes: str | None = None
    state: OsState
    catalogue: Catalogued | None = None


class OsOverview(_Schema):
    devices: int
    rows: list[OsOverviewRow]


class OverviewQuery(_Request):
    edge_host: str | None = Field(default=None, max_length=2000)
    folder: str | None = Field(default=None, max_length=64)


# Edge hosts


class EdgeSort(StrEnum):
    AGE = "age"
    NAME = "name"
    LAST_SEEN = "last_seen"
    DEVICES = "devices"
    NAME_DOWN = "-name"
    LAST_SEEN_DOWN = "-last_seen"
    DEVICES_DOWN = "-devices"


class EdgeHostQuery(Page):
    q: str | None = Field(
        default=None, max_length=MAX_TEXT, description="text in name, description, host name"
    )
    folder: str | None = Field(default=None, max_length=64, description="id; with the folders below it")
    online: bool | None = None
    version: str | None = Field(default=None, max_length=500)
    tag: str | None = Field(default=None, max_length=MAX_TAGS * (MAX_TAG + 1), description="all of them")
    sort: EdgeSort = EdgeSort.AGE


class EdgeRemoval(_Request):
    risk_confirmed: bool = False


# Views


class View(_Schema):
    """A filter with a name. `query` is that of the list, without cursor and limit."""

    id: str
    name: str
    kind: Literal["devices", "edge_hosts"]
    query: dict[str, str]
    columns: list[str]
    shared: bool
    own: bool
    created_by: str = ""
    created_at: datetime
    etag: Tag = ""


class ViewList(_Schema):
    views: list[View]


class ViewRequest(_Request):
    name: Title
    kind: Literal["devices", "edge_hosts"] = "devices"
    query: dict[str, str] = Field(default_factory=dict, max_length=20)
    columns: list[str] = Field(default_factory=list, max_length=50)
    shared: bool = False


class ViewChange(_Request):
    """Fields left out stay."""

    name: Title | None = None
    query: dict[str, str] | None = Field(default=None, max_length=20)
    columns: list[str] | None = Field(default=None, max_length=50)
    shared: bool | None = None


# Tasks of edge hosts


class EdgeTaskQuery(Page):
    edge_host: str | None = Field(default=None, max_length=64)
    state: TaskState | None = None
    kind: str | None = Field(default=None, max_length=100)


class EdgeTask(_Schema):
    """A task of one edge host, as it last told it."""

    id: str
    edge_host_id: str
    edge_host: str
    task: str = Field(description="its id on the edge host")
    kind: str
    title: str
    state: TaskState
    actor: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    detail: str = ""
    retry_of: str | None = None
    counts: WorkCounts


class EdgeTaskList(PageAnswer):
    tasks: list[EdgeTask]


class EdgeWork(_Schema):
    device: str
    state: WorkState
    step: str = ""
    detail: str = ""
    code: str | None = None


class EdgeTaskDetail(EdgeTask):
    devices: list[EdgeWork]
