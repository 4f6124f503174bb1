"""Passkeys, and challenges that wait for an answer."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, UtcDateTime

LONGEST_CREDENTIAL = 1400
"""Characters of a credential's id in base64url: 1023 bytes (WebAuthn Level 3, 4: Credential ID)."""


class Passkey(Base):
    """`public_key` is a COSE key. `sign_count` stays 0 for authenticators that do not count."""

    __tablename__ = "passkeys"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    credential_id: Mapped[str] = mapped_column(String(LONGEST_CREDENTIAL), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(100))
    transports: Mapped[list[str]] = mapped_column(JSON)
    backed_up: Mapped[bool]
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PasskeyChallenge(Base):
    """`id` is the challenge's digest; it is deleted by the first answer. `account_id` is whose passkey it registers."""

    __tablename__ = "passkey_challenges"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[str | None] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
