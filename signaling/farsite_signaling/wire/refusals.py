"""What models refuse, in words for whoever gave it: pydantic speaks to programmers."""

from __future__ import annotations

import re

_LENGTH = re.compile(r"(\w+) should have at (least|most) (\d+) items? after validation, not (\d+)")
_PATTERN = "String should match pattern"
_ADDRESSES = ("email", "emails")


def plain(message: str, field: str = "") -> str:
    """Secrets and names have `items` there, texts a `pattern`. `field`: its path, such as `emails.3`."""
    message = message.removeprefix("Value error, ")
    if match := _LENGTH.fullmatch(message):
        return _length(*match.groups())
    if message.startswith(_PATTERN):
        if field.partition(".")[0] in _ADDRESSES:
            return "It is no e-mail address such as ann@example.com"
        return "It has characters that cannot be in it, or is too long"
    return message


def _length(kind: str, bound: str, number: str, given: str) -> str:
    if given == "0":
        return "It must not be empty"
    what = "characters" if kind == "Value" else "entries"
    return f"It needs at {bound} {number} {what}, and has {given}"
