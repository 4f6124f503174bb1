"""One-time setup codes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class SetupCode(OrganizationOwned, Base):
    """`id` is the SHA-256 digest of the code: the code itself is shown once and not kept. `edge_host_id`: whoever uses it
    becomes this edge host again, and no new one."""

    __tablename__ = "setup_codes"

    folder_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("folders.id"))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(1000), default="")
    created_by: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    edge_host_id: Mapped[str | None] = mapped_column(IdColumn)
