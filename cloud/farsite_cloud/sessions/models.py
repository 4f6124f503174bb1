"""Sessions: one client with one edge host, for a while."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class RemoteSession(OrganizationOwned, Base):
    """Live while `ended_at` is empty and `until` has not passed. `token_id`: what it was asked for with."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "edge_host_id", "client_device_id"),)

    edge_host_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("edge_hosts.id"))
    client_device_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("client_devices.id"))
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    # The sign-in it was opened with; no foreign key, because expired tokens are swept while sessions stay.
    token_id: Mapped[str | None] = mapped_column(IdColumn, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    end_code: Mapped[str | None] = mapped_column(String(64))
