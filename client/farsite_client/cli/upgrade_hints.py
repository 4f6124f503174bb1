"""What is likely to be a typing error in an upgrade. It may become true later, so nothing is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from farsite_signaling.wire.inventory_api import OsOverview, OsOverviewRow


def hints(overview: OsOverview, models: Sequence[str], version: str | None) -> Iterator[str]:
    """Sentences about models no site has, and versions no site has an image of for any model that is meant."""
    known = {row.model.casefold(): row for row in overview.rows}
    for model in models:
        if model.casefold() not in known:
            near = get_close_matches(model, [row.model for row in overview.rows], n=1)
            yield f"No managed device is a {model}." + (f" Did you mean {near[0]}?" if near else "")
    meant = [known[model.casefold()] for model in models if model.casefold() in known]
    if version is not None and (rows := meant or overview.rows):
        yield from _no_image(rows, version)


def _no_image(rows: Sequence[OsOverviewRow], version: str) -> Iterator[str]:
    there = {choice.version for row in rows for choice in row.available if choice.edge_hosts}
    if version in there or any(one.version == version for row in rows for one in row.versions):
        return
    known = ", ".join(sorted(there)) or "none"
    yield f"No edge host has an image of {version} for these devices; there are: {known}."
