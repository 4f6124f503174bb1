"""Licences that were redeemed, and what is remembered of each organization."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class Licence(OrganizationOwned, Base):
    """`id` is the key's; `key` the whole of it."""

    __tablename__ = "licences"

    kind: Mapped[str] = mapped_column(String(20))
    count: Mapped[int]
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    issuer: Mapped[str] = mapped_column(String(100))
    key: Mapped[str] = mapped_column(Text)
    redeemed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    redeemed_by: Mapped[str] = mapped_column(String(400))


class LicenceReservation(OrganizationOwned, Base):
    """Licences that go to one edge host (`id`) before others."""

    __tablename__ = "licence_reservations"

    device: Mapped[int]
    universal: Mapped[int]


class LicenceRecord(OrganizationOwned, Base):
    """Of one organization (`id`): when it was last covered, the latest time seen, the notice told last."""

    __tablename__ = "licence_records"

    covered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    told: Mapped[str | None] = mapped_column(String(100))


class RedeemedKey(Base):
    """Stays when its organization (`redeemed_for`) is erased: a key is redeemed once in a cloud."""

    __tablename__ = "redeemed_keys"

    id: Mapped[str] = mapped_column(IdColumn, primary_key=True)
    redeemed_for: Mapped[str] = mapped_column(IdColumn)
    redeemed_at: Mapped[datetime] = mapped_column(UtcDateTime)
