"""The ZIP of an export, made in pieces: what is written comes out again as chunks of bytes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO, Any

from farsite_cloud.spreadsheets import safe_cell

CHUNK = 256 * 1024


class _Pipe(io.RawIOBase):
    """Where the ZIP is written to: it cannot go back, so that it streams."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.waiting += data
        return len(data)


class Archive:
    """Members are written one after another; `take` gives what is ready to be stored."""

    def __init__(self, at: datetime) -> None:
        self._pipe = _Pipe()
        self._zip = zipfile.ZipFile(self._pipe, "w", zipfile.ZIP_DEFLATED)
        self._at = at
        self._member: IO[bytes] | None = None
        self._digest = hashlib.sha256()

    def begin(self, name: str) -> None:
        info = zipfile.ZipInfo(name, self._at.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        self._member = self._zip.open(info, "w", force_zip64=True)
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        assert self._member is not None, "a member was begun"
        self._digest.update(data)
        self._member.write(data)

    def end(self) -> str:
        """SHA-256 of the member."""
        assert self._member is not None, "a member was begun"
        self._member.close()
        self._member = None
        return self._digest.hexdigest()

    def close(self) -> None:
        self._zip.close()

    def give_up(self) -> None:
        """Idempotent; what was taken so far is no archive."""
        if self._member is not None:
            self._member.close()
            self._member = None
        self._zip.close()

    def take(self, *, everything: bool = False) -> list[bytes]:
        """Whole chunks; at the end what is left, too."""
        chunks = []
        waiting = self._pipe.waiting
        while len(waiting) >= CHUNK or (everything and waiting):
            chunks.append(bytes(waiting[:CHUNK]))
            del waiting[:CHUNK]
        return chunks


def jsonl(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv_lines(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([[_cell(row[column]) for column in columns] for row in rows])
    return text.getvalue().encode()


def csv_head(columns: Sequence[str]) -> bytes:
    return csv_lines(columns, [dict(zip(columns, columns, strict=True))])


def _cell(value: Any) -> str:
    """Lists and objects as JSON. A text that a spreadsheet would compute begins with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    return safe_cell(text) if isinstance(value, str) else text
