"""Columns of text, as wide as what is in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_GAP = "  "


def width_of(text: str) -> int:
    """Cells of a terminal that it takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Me", "Mn", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def lined_up(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, all cells of a column beginning below one another; the last column is not padded."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(map(_padded, row, widths)).rstrip() for row in rows]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))
