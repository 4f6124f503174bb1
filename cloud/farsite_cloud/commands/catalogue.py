"""`farsite cloud catalogue …`: the operator's knowledge of models."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from farsite_cloud.catalogue.loading import import_catalogue
from farsite_cloud.catalogue.service import all_models
from farsite_cloud.database import Database
from farsite_cloud.database.opening import database_exists, open_database
from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

T = TypeVar("T")
Problems = list[tuple[int, str]]


def import_file(settings: CloudSettings, file: Path, partial: bool) -> tuple[int, Problems]:
    """How many models there are now, and the lines left out."""

    async def work(database: Database) -> tuple[int, Problems]:
        number, reading = await import_catalogue(database, file, partial=partial)
        return number, reading.problems

    return _on(settings, work)


def read_models(settings: CloudSettings) -> list[dict[str, Any]]:
    async def work(database: Database) -> list[dict[str, Any]]:
        async with database.reading() as session:
            rows = await all_models(session)
        return [
            {
                "model": row.model,
                "warranty_months": row.warranty_months,
                "hardware_support_end": _day(row.hardware_support_end),
                "software_support_end": _day(row.software_support_end),
                "tracks": row.tracks,
                "replacement": row.replacement,
            }
            for row in rows
        ]

    return _on(settings, work)


def as_text(models: Sequence[dict[str, Any]]) -> str:
    return "\n".join(_line(one) for one in models) or "The catalogue is empty."


def _line(model: dict[str, Any]) -> str:
    known = {
        "warranty": None if model["warranty_months"] is None else f"{model['warranty_months']} months",
        "hardware until": model["hardware_support_end"],
        "software until": model["software_support_end"],
        "tracks": ", ".join(f"{name} {version}" for name, version in model["tracks"].items()),
        "replacement": model["replacement"],
    }
    told = "; ".join(f"{name} {value}" for name, value in known.items() if value)
    return f"{model['model']}: {told}" if told else str(model["model"])


def problem_lines(file: Path, problems: Sequence[tuple[str, str]]) -> None:
    for where, text in problems:
        typer.echo(f"{file}, {where}: {text}", err=True)


def _day(value: Any) -> str | None:
    return None if value is None else value.isoformat()


def _on(settings: CloudSettings, work: Callable[[Database], Awaitable[T]]) -> T:
    if not database_exists(settings):
        detail = f"There is no cloud in {settings.data_dir}. Name its folder with --data-dir."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)

    async def run() -> T:
        database = open_database(settings)
        try:
            return await work(database)
        finally:
            await database.aclose()

    return asyncio.run(run())
