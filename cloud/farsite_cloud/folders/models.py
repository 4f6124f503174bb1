"""Folders: usually a site each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class Folder(OrganizationOwned, Base):
    __tablename__ = "folders"

    parent_id: Mapped[str | None] = mapped_column(IdColumn, ForeignKey("folders.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
