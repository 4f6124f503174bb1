"""Campaigns, their orders, and what became of each device."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class Campaign(OrganizationOwned, Base):
    """`due_at` is when somebody has to look at it next, none once it is over. Whoever changes a campaign or one of its
    orders updates it first, which also keeps two processes from doing so at the same time.

    `actor` is who made it or changed it last: what is ordered is ordered by them, with no more than their rights now
    (and `scopes`, those of the access token it was done with).
    """

    __tablename__ = "campaigns"

    kind: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(100))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    selection: Mapped[dict[str, Any]] = mapped_column(JSON)
    rollout: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(String(500), default="")
    stage: Mapped[int] = mapped_column(default=0)
    forgiven: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[str] = mapped_column(String(254))
    actor_id: Mapped[str] = mapped_column(IdColumn)
    actor: Mapped[str] = mapped_column(String(254))
    scopes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    retry_of: Mapped[str | None] = mapped_column(IdColumn)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    starts_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class CampaignOrder(OrganizationOwned, Base):
    """One edge host's part. `serial` counts its statements, `obeyed` is the newest one the edge host confirmed, both 0
    before; `revision` and `steps_kept` say how far its reports are kept."""

    __tablename__ = "campaign_orders"
    __table_args__ = (
        UniqueConstraint("campaign_id", "position"),
        Index("ix_campaign_orders_edge_host_id_state", "edge_host_id", "state"),
    )

    campaign_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("campaigns.id"))
    edge_host_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("edge_hosts.id"))
    position: Mapped[int]
    devices: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(String(500), default="")
    code: Mapped[str | None] = mapped_column(String(64))
    wanted: Mapped[str] = mapped_column(String(10))
    serial: Mapped[int] = mapped_column(default=0)
    obeyed: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0)
    steps_kept: Mapped[int] = mapped_column(default=0)
    task: Mapped[str | None] = mapped_column(String(64))
    counts: Mapped[dict[str, int]] = mapped_column(JSON)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heard_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CampaignDevice(OrganizationOwned, Base):
    __tablename__ = "campaign_devices"
    __table_args__ = (
        UniqueConstraint("order_id", "device"),
        Index("ix_campaign_devices_campaign_id_state", "campaign_id", "state"),
    )

    campaign_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("campaigns.id"))
    order_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("campaign_orders.id"))
    edge_host_id: Mapped[str] = mapped_column(IdColumn)
    device: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    step: Mapped[str] = mapped_column(String(100), default="")
    detail: Mapped[str] = mapped_column(String(500), default="")
    code: Mapped[str | None] = mapped_column(String(64))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CampaignStep(OrganizationOwned, Base):
    """One line of a device's log; `seq` is its number on the edge host."""

    __tablename__ = "campaign_steps"
    __table_args__ = (UniqueConstraint("order_id", "seq"),)

    order_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("campaign_orders.id"))
    seq: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    step: Mapped[str] = mapped_column(String(100))
    detail: Mapped[str] = mapped_column(String(500), default="")
