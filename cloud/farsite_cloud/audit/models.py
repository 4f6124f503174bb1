"""Who did what to what, from where, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class AuditEvent(OrganizationOwned, Base):
    """`origin` and `origin_id` name a row that an edge host reported, so that it is kept once."""

    __tablename__ = "audit_events"
    __table_args__ = (UniqueConstraint("origin", "origin_id"),)

    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(400))
    action: Mapped[str] = mapped_column(String(100))
    target: Mapped[str] = mapped_column(String(400), default="")
    outcome: Mapped[str] = mapped_column(String(20))
    source: Mapped[str] = mapped_column(String(64), default="")
    session: Mapped[str | None] = mapped_column(IdColumn)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    origin: Mapped[str | None] = mapped_column(IdColumn)
    origin_id: Mapped[str | None] = mapped_column(IdColumn)
