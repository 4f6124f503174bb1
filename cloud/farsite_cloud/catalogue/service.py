"""Reading and replacing the operator's catalogue."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.catalogue.file import Entry
from farsite_cloud.catalogue.models import CatalogueModel
from farsite_signaling.wire.inventory_api import Catalogued
from farsite_signaling.wire.os_versions import model_key


async def catalogued(session: AsyncSession, keys: Collection[str]) -> dict[str, Catalogued]:
    """By `model_key`; models the catalogue does not know are left out."""
    if not keys:
        return {}
    statement = select(CatalogueModel).where(CatalogueModel.model_key.in_(list(keys)))
    return {row.model_key: _answer(row) for row in await session.scalars(statement)}


async def replace_catalogue(session: AsyncSession, entries: Sequence[Entry]) -> int:
    """The catalogue is what the file says, no more; how many models it has."""
    await session.execute(delete(CatalogueModel))
    by_key = {model_key(entry.model): entry for entry in entries}
    session.add_all(
        CatalogueModel(model_key=key, **entry.model_dump()) for key, entry in sorted(by_key.items())
    )
    await session.flush()
    return len(by_key)


async def all_models(session: AsyncSession) -> list[CatalogueModel]:
    return list(await session.scalars(select(CatalogueModel).order_by(CatalogueModel.model)))


def _answer(row: CatalogueModel) -> Catalogued:
    return Catalogued(
        warranty_months=row.warranty_months,
        hardware_support_end=row.hardware_support_end,
        software_support_end=row.software_support_end,
        tracks=row.tracks,
        replacement=row.replacement,
    )
