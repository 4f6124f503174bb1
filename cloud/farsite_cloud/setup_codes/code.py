"""What a setup code looks like: 12 characters of Crockford's base32 (60 bits), in groups of four."""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 12
_GROUP = 4
# What people misread or mistype (Crockford); hyphens and spaces are only for the eye.
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def new_code() -> str:
    characters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(characters[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def code_digest(code: str) -> str:
    """The same for every way to write the code."""
    plain = code.upper().translate(_READ_AS)
    return hashlib.sha256(b"farsite-setup-code\0" + plain.encode()).hexdigest()
