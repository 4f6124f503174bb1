"""What pydantic says of a value it refuses, for people."""

from __future__ import annotations

_BY_OURSELVES = "Value error, "


def plain(message: str) -> str:
    """What a validator of ours raised is a sentence already: that it was a `ValueError` is nobody's business."""
    return message.removeprefix(_BY_OURSELVES)
