"""Identifiers: 48 bits of time and 80 random ones, so that they sort by age and cannot be guessed."""

from __future__ import annotations

import secrets
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26


def new_id(now: datetime) -> str:
    """26 lower-case characters of Crockford's base32."""
    value = int(now.timestamp() * 1000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))
