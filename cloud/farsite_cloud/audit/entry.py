"""A row on its way into a log: everything but its place in the chain."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from farsite_signaling.wire.ids import clean

_DEEPEST = 8
_LARGEST_NUMBER = 2**53
_MOST_DETAILS = 16 * 1024


@dataclass(frozen=True)
class Entry:
    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    source: str
    session: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    origin: str | None = None
    origin_id: str | None = None

    def values(self) -> dict[str, Any]:
        """As every database gives them back, byte for byte: the hash is over these."""
        return {
            "at": _time(self.at),
            "actor": clean(self.actor[:400]),
            "action": clean(self.action[:100]),
            "target": clean(self.target[:400]),
            "outcome": self.outcome[:20],
            "source": clean(self.source[:64]),
            "session": clean(self.session)[:64] if self.session else None,
            "details": tidy(self.details),
            "origin": self.origin,
            "origin_id": self.origin_id,
        }


def _time(at: datetime) -> datetime:
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:  # the first and last day there is, elsewhere
        return at.replace(tzinfo=UTC)


def tidy(details: dict[str, Any]) -> dict[str, Any]:
    """What JSON carries anywhere: finite numbers, texts without control characters, bounded in depth and size."""
    kept = _value(details, 0)
    text = json.dumps(kept)
    if len(text) > _MOST_DETAILS:
        return {"shortened": text[: _MOST_DETAILS // 2]}
    return dict(json.loads(text))


def _value(value: Any, depth: int) -> Any:
    if isinstance(value, dict) and depth < _DEEPEST:
        return {_text(str(key)): _value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_value(item, depth + 1) for item in items]
    return _plain(value)


def _plain(value: Any) -> Any:
    match value:
        case None | bool():
            return value
        case int() if abs(value) <= _LARGEST_NUMBER:
            return int(value)
        case float() if math.isfinite(value):
            return value
        case int():
            return hex(value)[:100]
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    return "\n".join(clean(line) for line in text.split("\n"))
