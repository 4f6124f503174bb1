"""Claimed edge hosts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class EdgeHost(OrganizationOwned, Base):
    """`revision` counts edits by people, for ETags; reports of the edge host itself leave it alone. Certificates that
    began before `certificates_since` are void."""

    __tablename__ = "edge_hosts"

    folder_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("folders.id"))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(1000), default="")
    hostname: Mapped[str] = mapped_column(String(255), default="")
    version: Mapped[str] = mapped_column(String(50), default="")
    remote_access: Mapped[bool | None]
    devices_managed: Mapped[int] = mapped_column(default=0)
    # Of these, those that need a universal licence.
    devices_other: Mapped[int] = mapped_column(default=0, server_default="0")
    devices_discovered: Mapped[int] = mapped_column(default=0)
    claimed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime)
    certificate_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    certificates_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    path: Mapped[str] = mapped_column(String(40), default="", server_default="")
    revision: Mapped[int] = mapped_column(default=1)
