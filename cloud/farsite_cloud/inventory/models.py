"""Devices, tags, images and tasks of edge hosts, and counts of them that are kept up to date with every change."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime

_EDGE_HOST = "edge_hosts.id"


class InventoryPosition(OrganizationOwned, Base):
    """How far an edge host's changes are kept; `id` is the edge host's. `complete`: its snapshot arrived whole;
    `devices`: how many it has."""

    __tablename__ = "inventory_positions"

    epoch: Mapped[str] = mapped_column(String(64))
    position: Mapped[int]
    complete: Mapped[bool]
    devices: Mapped[int] = mapped_column(default=0, server_default="0")
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


_ALIKE = ("model", "product", "device_type", "version", "state")


class _Indexed(OrganizationOwned):
    """Large tables: their indexes begin with the organization, one of it alone would only mislead and cost."""

    organization_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("organizations.id"))


class ManagedDevice(_Indexed, Base):
    """`…_key` columns sort; `search` is what texts are looked for in. Indexes end with what a page is sorted by.
    `unreachable_since` the cloud heard so; none for what was so when it was first heard of."""

    __tablename__ = "devices"
    __table_args__ = (
        UniqueConstraint("edge_host_id", "serial"),
        Index("ix_devices_name", "organization_id", "name_key", "id", "edge_host_id", "search"),
        Index("ix_devices_serial", "organization_id", "serial", "id"),
        Index("ix_devices_address", "organization_id", "address_key", "id"),
        Index("ix_devices_edge_host", "organization_id", "edge_host_id", "name_key", "id"),
        Index("ix_devices_model", "organization_id", "model", "name_key", "id"),
        Index("ix_devices_type", "organization_id", "device_type", "name_key", "id"),
        Index("ix_devices_version", "organization_id", "version", "name_key", "id"),
        Index("ix_devices_version_key", "organization_id", "version_key", "name_key", "id"),
        Index("ix_devices_state", "organization_id", "state", "name_key", "id"),
    )

    edge_host_id: Mapped[str] = mapped_column(IdColumn, ForeignKey(_EDGE_HOST))
    serial: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    name_key: Mapped[str] = mapped_column(String(200))
    model: Mapped[str] = mapped_column(String(200))
    product: Mapped[str] = mapped_column(String(200))
    device_type: Mapped[str] = mapped_column(String(200))
    version: Mapped[str] = mapped_column(String(200))
    version_key: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(40))
    address: Mapped[str] = mapped_column(String(100))
    address_key: Mapped[str] = mapped_column(String(100))
    search: Mapped[str] = mapped_column(String(400))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    epoch: Mapped[str] = mapped_column(String(64))
    first_seen: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    unreachable_since: Mapped[datetime | None] = mapped_column(UtcDateTime)


# Few devices are unreachable: those of an edge host are found without reading the others.
_UNREACHABLE = ManagedDevice.unreachable_since.is_not(None)
Index(
    "ix_devices_unreachable",
    ManagedDevice.edge_host_id,
    ManagedDevice.unreachable_since,
    sqlite_where=_UNREACHABLE,
    postgresql_where=_UNREACHABLE,
)


class ThingTag(_Indexed, Base):
    """A mark for one tag of a device, or of an edge host (`serial` empty). `pending`: the edge host has yet to know.
    `model` and `version` are the device's: triggers keep them so (`0016_tags_by_model`), and fill in what is left out."""

    __tablename__ = "tags"
    __table_args__ = (
        UniqueConstraint("thing_id", "tag"),
        Index("ix_tags_tag", "organization_id", "tag", "present", "thing_id"),
        Index("ix_tags_thing_id", "thing_id", "organization_id", "present", "tag"),
        Index("ix_tags_edge_host_id", "edge_host_id", "pending"),
        Index("ix_tags_model", "organization_id", "present", "model", "version", "tag"),
    )

    edge_host_id: Mapped[str] = mapped_column(IdColumn, ForeignKey(_EDGE_HOST))
    serial: Mapped[str] = mapped_column(String(64))
    thing_id: Mapped[str] = mapped_column(IdColumn)
    tag: Mapped[str] = mapped_column(String(64))
    present: Mapped[bool]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    pending: Mapped[bool]
    model: Mapped[str | None] = mapped_column(String(200))
    version: Mapped[str | None] = mapped_column(String(200))


class InventoryCount(_Indexed, Base):
    """How many devices are alike, in one edge host (`place`) or in the whole organization (`place` empty), and how many
    have a tag (`tag` not empty; the other columns are)."""

    __tablename__ = "inventory_counts"
    # All columns: the counts are read from the index alone, in the order they are grouped in.
    __table_args__ = (
        Index("ix_inventory_counts_place", "organization_id", "place", *_ALIKE, "tag", "number"),
        Index(
            "ix_inventory_counts_model",
            *("organization_id", "model", "place", "tag", "device_type", "version", "state", "number"),
        ),
    )

    place: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(200))
    product: Mapped[str] = mapped_column(String(200))
    device_type: Mapped[str] = mapped_column(String(200))
    version: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(40))
    tag: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]


class EdgeImage(_Indexed, Base):
    """A device image that an edge host can install, once for each model it is for."""

    __tablename__ = "edge_images"
    __table_args__ = (
        UniqueConstraint("edge_host_id", "file", "model_key"),
        Index("ix_edge_images_model_key", "organization_id", "model_key", "version", "edge_host_id"),
    )

    edge_host_id: Mapped[str] = mapped_column(IdColumn, ForeignKey(_EDGE_HOST))
    file: Mapped[str] = mapped_column(String(300))
    image: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    model_key: Mapped[str] = mapped_column(String(200))


class ModelRelease(_Indexed, Base):
    """How many edge hosts have an image of a version for a model; kept up to date with the images."""

    __tablename__ = "model_releases"
    __table_args__ = (
        Index("ix_model_releases_model_key", "organization_id", "model_key", "version", "edge_hosts"),
    )

    model_key: Mapped[str] = mapped_column(String(200))
    version: Mapped[str] = mapped_column(String(64))
    edge_hosts: Mapped[int]


class EdgeHostTask(_Indexed, Base):
    """A task of an edge host; `task` is its id there."""

    __tablename__ = "edge_host_tasks"
    __table_args__ = (
        UniqueConstraint("edge_host_id", "task"),
        Index("ix_edge_host_tasks_newest", "organization_id", "id"),
    )

    edge_host_id: Mapped[str] = mapped_column(IdColumn, ForeignKey(_EDGE_HOST))
    task: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(100))
    title: Mapped[str] = mapped_column(String(300))
    state: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(400))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    detail: Mapped[str] = mapped_column(String(1000))
    retry_of: Mapped[str | None] = mapped_column(String(64))
    counts: Mapped[dict[str, int]] = mapped_column(JSON)


class EdgeHostWork(OrganizationOwned, Base):
    """What such a task did with one device."""

    __tablename__ = "edge_host_work"
    __table_args__ = (UniqueConstraint("task_id", "position"),)

    task_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("edge_host_tasks.id"))
    position: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    step: Mapped[str] = mapped_column(String(100))
    detail: Mapped[str] = mapped_column(String(1000))
    code: Mapped[str | None] = mapped_column(String(64))
