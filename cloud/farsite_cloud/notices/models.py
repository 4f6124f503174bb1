"""What happened, who was told, and how."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class NoticeEvent(OrganizationOwned, Base):
    """Something that happened. `key` makes telling of it twice harmless; `due_at` is when it is told of, together with
    others of its kind, and none once it was. `lasting` until what began with it is over."""

    __tablename__ = "notice_events"
    __table_args__ = (
        UniqueConstraint("organization_id", "key"),
        Index("ix_notice_events_organization_id_kind", "organization_id", "kind"),
    )

    kind: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(String(500))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    edge_host_id: Mapped[str | None] = mapped_column(IdColumn, index=True)
    account_id: Mapped[str | None] = mapped_column(IdColumn)
    lasting: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Notice(OrganizationOwned, Base):
    """What one member was told, in the product. `items` are the events' texts, the first of them when there were many."""

    __tablename__ = "notices"
    __table_args__ = (Index("ix_notices_account_id_organization_id", "account_id", "organization_id"),)

    account_id: Mapped[str] = mapped_column(IdColumn)
    kind: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class NoticeChoice(OrganizationOwned, Base):
    """How a member wants to be told of one kind; without a row as the defaults say."""

    __tablename__ = "notice_choices"
    __table_args__ = (UniqueConstraint("organization_id", "account_id", "kind"),)

    account_id: Mapped[str] = mapped_column(IdColumn)
    kind: Mapped[str] = mapped_column(String(64))
    channels: Mapped[list[str]] = mapped_column(JSON)


class NoticeSettings(OrganizationOwned, Base):
    __tablename__ = "notice_settings"
    __table_args__ = (UniqueConstraint("organization_id"),)

    offline_after_minutes: Mapped[int]
    unreachable_devices: Mapped[int] = mapped_column(default=10, server_default="10")
    revision: Mapped[int] = mapped_column(default=1)


class Webhook(OrganizationOwned, Base):
    """A member's: it gets what they may see, and nothing once they left. Secrets are sealed. `failing_since` the first
    of the failures that no success has followed."""

    __tablename__ = "webhooks"

    account_id: Mapped[str] = mapped_column(IdColumn, index=True)
    name: Mapped[str] = mapped_column(String(100))
    url: Mapped[bytes] = mapped_column(LargeBinary)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    old_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    enabled: Mapped[bool] = mapped_column(default=True)
    problem: Mapped[str] = mapped_column(String(500), default="")
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(default=1)


class WebhookDelivery(OrganizationOwned, Base):
    """One message to one webhook. A worker takes it by moving `due_at` past its lease, as with mails."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("ix_webhook_deliveries_state_due_at", "state", "due_at"),)

    webhook_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("webhooks.id"), index=True)
    kind: Mapped[str] = mapped_column(String(64))
    payload: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None]
    problem: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
