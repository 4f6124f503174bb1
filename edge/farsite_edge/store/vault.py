"""Secrets at rest: AES-256-GCM under a key in a file only the owner reads.

The name a secret is kept under is authenticated with it, so a sealed password cannot be moved to another device.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from sqlite3 import Connection

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farsite_edge.store.database import Database
from farsite_edge.store.failures import storage_errors
from farsite_signaling.identity.keys import write_private
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

KEY_FILE = "vault.key"
_CONTEXT = b"farsite-edge-secret-v1\0"
_DIGEST_CONTEXT = b"farsite-edge-digest-v1\0"
_KEY_BYTES = 32
_NONCE_BYTES = 12
logger = logging.getLogger(__name__)


class Vault:
    """`on_replaced` is called when a secret was forgotten, or another is kept in its place."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.on_replaced: Callable[[], None] = lambda: None
        self._database = database
        self._path = folder / KEY_FILE
        self._key = b""

    def load(self) -> None:
        """Make the key at first start. Raises `storage_failed` for a damaged file."""
        with storage_errors(self._path):
            if not self._path.exists():
                write_private(self._path, AESGCM.generate_key(bit_length=256))
            _keep_private(self._path)
            self._key = self._path.read_bytes()
        if len(self._key) != _KEY_BYTES:
            raise FarsiteError(
                ErrorCode.STORAGE_FAILED,
                f"The vault key {self._path} is damaged. Put back a copy; without it, move the file away and log in "
                "to the devices again.",
            )

    async def put(self, name: str, secret: str) -> None:
        await self.change({name: secret})

    async def change(self, secrets: Mapping[str, str | None]) -> None:
        """All together or not at all; `None` forgets."""

        def act(connection: Connection) -> int:
            replaced = 0
            for name, secret in secrets.items():
                replaced += connection.execute("DELETE FROM secrets WHERE name = ?", (name,)).rowcount
                if secret is not None:
                    nonce, sealed = self._seal(name, secret)
                    connection.execute("INSERT INTO secrets VALUES (?, ?, ?)", (name, nonce, sealed))
            return replaced

        if await self._database.write(act):
            self.on_replaced()

    def _seal(self, name: str, secret: str) -> tuple[bytes, bytes]:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce, AESGCM(self._key).encrypt(nonce, secret.encode(), _CONTEXT + name.encode())

    async def names(self, prefix: str) -> list[str]:
        """Of what is kept, by the beginning of its name."""
        sql = "SELECT name FROM secrets WHERE substr(name, 1, ?) = ? ORDER BY name"
        return [row["name"] for row in await self._database.fetch(sql, (len(prefix), prefix))]

    async def get(self, name: str) -> str | None:
        """`None` when nothing is kept. Raises `storage_failed` when it cannot be opened."""
        rows = await self._database.fetch("SELECT nonce, sealed FROM secrets WHERE name = ?", (name,))
        if not rows:
            return None
        plain = unseal(self._key, name, rows[0]["nonce"], rows[0]["sealed"])
        if plain is None:
            detail = "A stored secret does not open with this vault key; enter it again."
            raise FarsiteError(ErrorCode.STORAGE_FAILED, detail)
        return plain

    async def forget(self, name: str) -> None:
        await self.change({name: None})

    def digest(self, text: str) -> str:
        """Recognises a text again without keeping it; useless without the vault key."""
        return hmac.new(self._key, _DIGEST_CONTEXT + text.encode(), hashlib.sha256).hexdigest()


def unseal(key: bytes, name: str, nonce: bytes, sealed: bytes) -> str | None:
    """`None` when it was not sealed under this name with this key."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, _CONTEXT + name.encode()).decode()
    except (InvalidTag, ValueError):
        return None


def _keep_private(path: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        logger.warning("%s was readable by others; now by its owner only", path)
        path.chmod(0o600)
