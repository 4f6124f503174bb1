"""Identifiers that sort by age: 48 bits of time (ms), 24 that count within it, 56 random ones."""

from __future__ import annotations

import itertools
import secrets
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
# Rows of the same millisecond keep the order they were made in.
_sequence = itertools.count()


def new_id(now: datetime) -> str:
    """26 lower-case characters of Crockford's base32."""
    milliseconds = int(now.timestamp() * 1000)
    counted = next(_sequence) & 0xFFFFFF
    return _text(milliseconds << 80 | counted << 56 | secrets.randbits(56))


def first_id(moment: datetime) -> str:
    """No id made at or after `moment` sorts before it, none made earlier after it."""
    return _text(int(moment.timestamp() * 1000) << 80)


def _text(value: int) -> str:
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))
