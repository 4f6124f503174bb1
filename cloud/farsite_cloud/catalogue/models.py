"""The operator's catalogue: of no organization, seen by all."""

from __future__ import annotations

from datetime import date

from sqlalchemy import JSON, Date, String
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base


class CatalogueModel(Base):
    """`model_key` is the model as it is compared; `tracks` the newest release by track."""

    __tablename__ = "catalogue_models"

    model_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    model: Mapped[str] = mapped_column(String(200))
    warranty_months: Mapped[int | None]
    hardware_support_end: Mapped[date | None] = mapped_column(Date)
    software_support_end: Mapped[date | None] = mapped_column(Date)
    tracks: Mapped[dict[str, str]] = mapped_column(JSON)
    replacement: Mapped[str | None] = mapped_column(String(200))
