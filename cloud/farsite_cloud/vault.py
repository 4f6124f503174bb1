"""Secrets at rest: AES-256-GCM under a key in a file that only the service's account can read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farsite_signaling.identity.keys import write_private
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

KEY_FILE = "master.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Vault:
    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._mac_key = hashlib.sha256(b"farsite mac\0" + key).digest()

    @classmethod
    def open(cls, folder: Path, *, create: bool, given: str | None = None) -> Vault:
        """The key that is `given` (base64), or in `folder`; a new one only when `create`, because data sealed by a
        lost key stays lost.

        Raises `FarsiteError` (`storage_failed`).
        """
        if given is not None:
            return cls(check_key(given))
        path = folder / KEY_FILE
        if create and not path.exists():
            write_private(path, secrets.token_bytes(_KEY_BYTES))
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            raise _lost(path, "is missing") from None
        if len(key) != _KEY_BYTES:
            raise _lost(path, "is damaged")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return cls(key)

    def seal(self, data: bytes, purpose: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, purpose.encode())

    def mac(self, data: bytes, purpose: str) -> str:
        """A keyed digest (hex): of what is too short for a plain one to hide."""
        return hmac.new(self._mac_key, purpose.encode() + b"\0" + data, hashlib.sha256).hexdigest()

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """Raises `FarsiteError` (`storage_failed`) for anything not sealed by this key for this purpose."""
        nonce, data = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, data, purpose.encode())
        except (InvalidTag, ValueError):
            detail = f"A secret in the database ({purpose}) was not sealed by this data folder's {KEY_FILE}."
            raise FarsiteError(ErrorCode.STORAGE_FAILED, detail) from None


def check_key(text: str) -> bytes:
    """Raises `ValueError` for what is not base64 of a key."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise ValueError("it is not base64") from None
    if len(key) != _KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes, not {_KEY_BYTES}")
    return key


def _lost(path: Path, what: str) -> FarsiteError:
    detail = (
        f"The key file {path} {what}: restore it together with the database from your backup. Further processes on "
        "the same database need a copy of the first one's, or the setting master_key."
    )
    return FarsiteError(ErrorCode.STORAGE_FAILED, detail)
