"""Time-limited TURN credentials (draft-uberti-behave-turn-rest-00), as coturn's `use-auth-secret` checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets


def turn_credentials(secret: str, session: str, ttl: float, now: float) -> tuple[str, str]:
    """Username `<expiry>:<session>` and its credential. `ttl` in seconds, `now` in Unix seconds."""
    username = f"{int(now + ttl)}:{session}"
    # SHA-1 is what coturn computes; HMAC does not rest on its collision resistance.
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def new_secret() -> str:
    """256 bits, in characters that need no quoting in coturn's file."""
    return secrets.token_urlsafe(32)
