"""Text that spreadsheets open: never computed by them."""

from __future__ import annotations

# What spreadsheets take for the beginning of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "|", "%")


def safe_cell(text: str) -> str:
    """An apostrophe before what would be computed."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
