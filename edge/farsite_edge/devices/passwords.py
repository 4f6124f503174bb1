"""Passwords and names the edge host makes up for devices."""

from __future__ import annotations

import secrets
import string

LENGTH = 24  # AXIS OS 12 may demand 15, or 12 of four kinds; every firmware takes 64
SPECIAL = "-_.+"
_KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, SPECIAL)


def new_password(length: int = LENGTH) -> str:
    """Of all four kinds, for devices that demand them."""
    every = "".join(_KINDS)
    while True:
        password = "".join(secrets.choice(every) for _ in range(length))
        if all(any(char in kind for char in password) for kind in _KINDS) and password[0].isalpha():
            return password


def new_name() -> str:
    """At most 14 letters and digits, and nobody else's."""
    return f"farsite{secrets.token_hex(3)}"
