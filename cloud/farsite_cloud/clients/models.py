"""Client devices: a command-line install or a browser profile with a certificate of its own."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class ClientDevice(OrganizationOwned, Base):
    __tablename__ = "client_devices"

    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    certificate_expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
