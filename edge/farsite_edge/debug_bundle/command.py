"""Makes the bundle, writes it, says what is inside."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from farsite_edge.debug_bundle.bundle import Bundle, make_bundle
from farsite_edge.settings import EdgeSettings
from farsite_edge.store.failures import storage_errors

STANDARD_OUTPUT = Path("-")


def write(settings: EdgeSettings, out: Path | None, *, anonymous: bool, as_json: bool) -> None:
    """Raises `disk_full`, `storage_failed` for the file to be written."""
    bundle = asyncio.run(make_bundle(settings, anonymous=anonymous))
    data = bundle.zipped()
    if out == STANDARD_OUTPUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        sys.stderr.write(_said(bundle, None, len(data)))
        return
    path = out or Path(f"farsite-edge-debug-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip")
    with storage_errors(path):
        _keep(path, data)
    sys.stdout.write(_as_json(bundle, path, len(data)) if as_json else _said(bundle, path, len(data)))


def _keep(path: Path, data: bytes) -> None:
    """It tells of a site: its owner alone reads it."""
    new = path.with_name(f"{path.name}.part")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _said(bundle: Bundle, path: Path | None, size: int) -> str:
    where = f"\n{path}: {size} bytes. Look through it before you pass it on.\n" if path else ""
    return bundle.files["README.txt"] + where


def _as_json(bundle: Bundle, path: Path, size: int) -> str:
    contents = {name: len(text.encode()) for name, text in bundle.files.items()}
    row = {"file": str(path), "bytes": size, "contents": contents, "problems": bundle.problems}
    return json.dumps(row) + "\n"
