"""Devices that wait for a browser's word, and browsers that are signed in to give it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, UtcDateTime


class DeviceSignIn(Base):
    """`id` and `user_digest` are digests of the two codes. `email`: the only account that may approve, if one is named.

    `organization_id`, here and below: the only one the sign-in is for, whose identity provider said who this is.

    Deleted when its token has been handed out, and some time after it has expired.
    """

    __tablename__ = "device_sign_ins"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    user_digest: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(100), default="")
    email: Mapped[str] = mapped_column(String(254), default="")
    source: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(200), default="")
    interval: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    polled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    account_id: Mapped[str | None] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    mfa: Mapped[bool] = mapped_column(default=False)
    organization_id: Mapped[str | None] = mapped_column(IdColumn)


class BrowserSignIn(Base):
    """A browser signed in to the pages, for minutes. It opens nothing else. `id` is its cookie's digest."""

    __tablename__ = "browser_sign_ins"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    mfa: Mapped[bool] = mapped_column(default=False)
    organization_id: Mapped[str | None] = mapped_column(IdColumn)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
