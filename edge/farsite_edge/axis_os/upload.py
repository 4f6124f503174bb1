"""Reads an image while it is sent, and notices when it is not the one that was checked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from farsite_edge.store.failures import storage_errors
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

BLOCK = 256 * 1024


async def blocks(file: BinaryIO, path: Path, size: int, digest: str) -> AsyncIterator[bytes]:
    """The open file from its beginning. Its last block leaves only when the whole is what the index says: a file
    changed meanwhile never reaches a device complete. Raises `conflict`, `storage_failed`."""
    with storage_errors(path):
        file.seek(0)
        seen, last = hashlib.sha256(), b""
        read = 0
        while block := await asyncio.to_thread(file.read, BLOCK):
            if last:
                yield last
            seen.update(block)
            read += len(block)
            last = block
        if read != size or seen.hexdigest() != digest:
            raise FarsiteError(
                ErrorCode.CONFLICT,
                f"The image file {path.name} was changed while it was sent; nothing was done.",
            )
        yield last
