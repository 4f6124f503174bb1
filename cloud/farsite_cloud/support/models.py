"""Support access."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, OrganizationOwned, UtcDateTime


class SupportAccess(OrganizationOwned, Base):
    """Whoever has the address `email` has `role` until `until`, unless it was ended before.

    Rights follow from the row and the clock alone. `cut` is set once live sessions have been ended too; until then a
    worker that holds the lease is on it.
    """

    __tablename__ = "support_access"

    email: Mapped[str] = mapped_column(String(254), index=True)
    role: Mapped[str] = mapped_column(String(20))
    all_folders: Mapped[bool]
    folder_ids: Mapped[list[str]] = mapped_column(JSON)
    reason: Mapped[str] = mapped_column(String(500), default="")
    granted_by: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_by: Mapped[str] = mapped_column(String(254), default="")
    cut: Mapped[bool] = mapped_column(default=False)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(default=1)
