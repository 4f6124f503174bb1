"""Exports: the job, and the file it made."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class Export(OrganizationOwned, Base):
    """A worker takes a row by setting `lease_until`; another one takes it over when that has passed."""

    __tablename__ = "exports"

    state: Mapped[str] = mapped_column(String(20), index=True)
    requested_by: Mapped[str] = mapped_column(String(254))
    step: Mapped[str] = mapped_column(String(100), default="")
    rows_done: Mapped[int] = mapped_column(default=0)
    rows_total: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    sha256: Mapped[str] = mapped_column(String(64), default="")
    problem: Mapped[str] = mapped_column(String(500), default="")


class ExportChunk(OrganizationOwned, Base):
    """A part of the file, in the database so that every process can serve it; sealed by the vault."""

    __tablename__ = "export_chunks"
    __table_args__ = (UniqueConstraint("export_id", "number"),)

    export_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("exports.id"))
    number: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)
