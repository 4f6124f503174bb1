"""Organizations with their keys, and who belongs to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint, false, true
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class Organization(Base):
    """Private keys are sealed by the vault; the rest is public.

    `deletes_at`: when it is erased, unless it is restored before. `lease_until`: a process is erasing it.
    """

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    default_folder_id: Mapped[str] = mapped_column(IdColumn)
    authority_certificate: Mapped[str] = mapped_column(Text)
    authority_key: Mapped[bytes] = mapped_column(LargeBinary)
    grant_public_key: Mapped[str] = mapped_column(Text)
    grant_key: Mapped[bytes] = mapped_column(LargeBinary)
    invited_start_as_viewers: Mapped[bool] = mapped_column(default=True, server_default=true())
    require_mfa: Mapped[bool] = mapped_column(default=False, server_default=false())
    provider_required: Mapped[bool] = mapped_column(default=False, server_default=false())
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deletes_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    deletion_by: Mapped[str] = mapped_column(String(254), default="", server_default="")
    # None: as the cloud has it.
    sign_in_idle_days: Mapped[int | None]
    sign_in_days: Mapped[int | None]
    suspended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    suspended_reason: Mapped[str] = mapped_column(String(500), default="", server_default="")
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ErasedOrganization(Base):
    """All that is left of one: enough to tell its edge hosts that they belong to nobody."""

    __tablename__ = "erased_organizations"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Membership(Base):
    """`all_folders` is for operators and viewers; without it `FolderAccess` says which ones they reach."""

    __tablename__ = "memberships"

    organization_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("organizations.id"), primary_key=True)
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(20))
    all_folders: Mapped[bool] = mapped_column(default=True, server_default=true())
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FolderAccess(OrganizationOwned, Base):
    """A member reaches this folder and what is below it."""

    __tablename__ = "folder_access"
    __table_args__ = (UniqueConstraint("organization_id", "account_id", "folder_id"),)

    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"))
    folder_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("folders.id"), index=True)
