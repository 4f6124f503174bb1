"""Answers kept for repeated requests."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, UtcDateTime


class KeptAnswer(Base):
    """What was answered to an `Idempotency-Key`; sealed, because answers may hold secrets."""

    __tablename__ = "kept_answers"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
