"""Mails to send, and mails kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, UtcDateTime


class Mail(Base):
    """`content` (subject and text, JSON) is sealed, because mails hold codes; once sent it is dropped.

    A worker takes a row by moving `due_at` past its lease, so that two never send the same and a crash loses none.
    """

    __tablename__ = "mails"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    recipient: Mapped[str] = mapped_column(String(254))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str] = mapped_column(String(500), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
