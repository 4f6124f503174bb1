"""Who did what to what, from where, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class AuditColumns:
    """`seq` and `hash` are the row's place in its chain; empty in rows that a release without chains wrote.

    `origin` and `origin_id` name a row that an edge host reported, so that it is kept once.
    """

    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(400))
    action: Mapped[str] = mapped_column(String(100))
    target: Mapped[str] = mapped_column(String(400), default="")
    outcome: Mapped[str] = mapped_column(String(20))
    source: Mapped[str] = mapped_column(String(64), default="")
    session: Mapped[str | None] = mapped_column(IdColumn)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    origin: Mapped[str | None] = mapped_column(IdColumn)
    origin_id: Mapped[str | None] = mapped_column(IdColumn)
    seq: Mapped[int | None] = mapped_column(BigInteger)
    hash: Mapped[str | None] = mapped_column(String(64))


class AuditEvent(AuditColumns, OrganizationOwned, Base):
    __tablename__ = "audit_events"
    __table_args__ = (
        UniqueConstraint("origin", "origin_id"),
        Index(None, "organization_id", "seq", unique=True),
    )


class OperatorEvent(AuditColumns, Base):
    """Acts that concern no organization: of the operator, of accounts that are in none."""

    __tablename__ = "operator_events"
    __table_args__ = (Index(None, "seq", unique=True),)

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)


class AuditChain(Base):
    """The head of one chain, locked while rows are appended; rows up to `floor_seq` are not kept any more."""

    __tablename__ = "audit_chains"

    chain: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    floor_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    floor_hash: Mapped[str] = mapped_column(String(64))
    sealed_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    public_key: Mapped[str | None] = mapped_column(Text)


class AuditCheckpoint(Base):
    """A signed statement about a chain, kept with it; whoever wants to notice a rewritten log keeps a copy elsewhere."""

    __tablename__ = "audit_checkpoints"

    chain: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    purpose: Mapped[str] = mapped_column(String(20), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    token: Mapped[str] = mapped_column(Text)
