"""Password hashes (argon2id, RFC 9106)."""

from __future__ import annotations

import asyncio
import base64
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# Each hash takes 64 MiB: a few at a time, and a short queue instead of a machine without memory.
_AT_A_TIME = 2
_WAITING = 64
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


class Passwords:
    """Hashes in threads of its own, at the library's cost unless told. `close` when done."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="passwords")
        self._queued = 0
        # Compared with when there is no such account, so that an unknown address takes as long as a known one.
        self._nobody = _nobodys_hash(self._hasher)

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """False for a wrong password and, after the same work, for None. Raises `unavailable` when swamped."""
        if self._queued >= _WAITING:
            detail = "Too many sign-ins at once. Try again in a moment."
            raise FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=2)
        self._queued += 1
        try:
            # Accounts without a password (their mark is no hash) must not be told by a quick answer either.
            known = password_hash if password_hash and password_hash.startswith("$argon2") else self._nobody
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._threads, self._matches, known, password)
        finally:
            self._queued -= 1
        return right and known is password_hash

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)


def _nobodys_hash(hasher: PasswordHasher) -> str:
    """A hash in the usual form (salt and value drawn at random) that no password has."""
    salt, value = (
        base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${value}"


def new_password() -> str:
    """20 characters (99 bits) in groups of five."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)
