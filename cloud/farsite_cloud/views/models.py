"""Saved views."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class SavedView(OrganizationOwned, Base):
    """Its maker's own, or shared with the organization."""

    __tablename__ = "saved_views"
    __table_args__ = (Index("ix_saved_views_account_id", "organization_id", "account_id"),)

    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"))
    created_by: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(20))
    query: Mapped[dict[str, str]] = mapped_column(JSON)
    columns: Mapped[list[str]] = mapped_column(JSON)
    shared: Mapped[bool]
    revision: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
