"""Organizations with their keys, and who belongs to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, UtcDateTime


class Organization(Base):
    """Private keys are sealed by the vault; the rest is public."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    default_folder_id: Mapped[str] = mapped_column(IdColumn)
    authority_certificate: Mapped[str] = mapped_column(Text)
    authority_key: Mapped[bytes] = mapped_column(LargeBinary)
    grant_public_key: Mapped[str] = mapped_column(Text)
    grant_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Membership(Base):
    __tablename__ = "memberships"

    organization_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("organizations.id"), primary_key=True)
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
