"""People, and the tokens they are signed in with."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, false
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, UtcDateTime


class AccountKind(StrEnum):
    PERSON = "person"
    SERVICE = "service"
    """Of a program: owned by one organization, without a password."""
    REMOVED = "removed"
    """Nobody's any more; the row stays for what was done with it, without anything personal."""


class Account(Base):
    """`organization_id` is of service accounts: whose they are.

    `totp_secret` is sealed; it counts once `totp_since` says that the app was proven to have it.

    `totp_step` is the time step of the last code that was used: older ones and the same are refused.
    `email_codes_since`: codes sent by mail are a second factor of it.
    """

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    password_hash: Mapped[str] = mapped_column(String(255))
    totp_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    totp_step: Mapped[int] = mapped_column(default=0, server_default="0")
    email_codes_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(
        String(20), default=AccountKind.PERSON, server_default=AccountKind.PERSON
    )
    organization_id: Mapped[str | None] = mapped_column(IdColumn, index=True)
    description: Mapped[str] = mapped_column(String(1000), default="", server_default="")
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class Token(Base):
    """A sign-in, or (with `scopes`) an access token. Only its SHA-256 digest is known here.

    `mfa`: whoever made it had proven a second factor. An access token may be for one organization, and for folders
    of it. `used_at` is a minute late at most.
    """

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="", server_default="")
    scopes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    mfa: Mapped[bool] = mapped_column(default=False, server_default=false())
    source: Mapped[str] = mapped_column(String(64), default="", server_default="")
    agent: Mapped[str] = mapped_column(String(200), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    organization_id: Mapped[str | None] = mapped_column(IdColumn, index=True)
    folder_ids: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    used_from: Mapped[str] = mapped_column(String(64), default="", server_default="")


class RecoveryCode(Base):
    """`id` is the digest; a used code's row is deleted."""

    __tablename__ = "recovery_codes"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)


class MailedCode(Base):
    """A single-use code mailed to `email` for one purpose. `id` is its digest; a used code's row is deleted."""

    __tablename__ = "mailed_codes"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(20))
    email: Mapped[str] = mapped_column(String(254), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignInCode(Base):
    """The one code that was last mailed to an account as its second factor: sealed, because it is short."""

    __tablename__ = "sign_in_codes"

    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), primary_key=True)
    code: Mapped[bytes] = mapped_column(LargeBinary)
    tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
