"""Strings from devices: decoded, without control characters, of bounded length."""

from __future__ import annotations

import re
import unicodedata

MAX_TEXT = 200
_SERIAL = re.compile(r"[0-9A-F]{12}")


def decode(body: bytes) -> str:
    """UTF-8, which new firmware sends, else Latin-1, which old firmware does. Never fails."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def clean(value: object, limit: int = MAX_TEXT) -> str:
    """Printable text on one line. Control, format, surrogate and line-ending characters are removed: a device's name ends
    up in terminals, logs and web pages. Anything but a string is empty."""
    if not isinstance(value, str):
        return ""
    kept = "".join(char for char in value[: limit * 4] if _is_plain(char))
    return kept.strip()[:limit]


def _is_plain(char: str) -> bool:
    """Line and paragraph separators end a line in browsers and in many a log."""
    category = unicodedata.category(char)
    return not category.startswith("C") and category not in ("Zl", "Zp")


def serial_of(value: object) -> str | None:
    """A serial number as 12 upper-case hex digits; separators of a MAC address are dropped. None if it is not one."""
    text = clean(value, 32).replace(":", "").replace("-", "").upper()
    return text if _SERIAL.fullmatch(text) else None
