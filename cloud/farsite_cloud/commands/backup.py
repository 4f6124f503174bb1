"""`farsite cloud backup`, `restore`: one file that holds a cloud on SQLite, made while it runs.

A copy of `farsite.db` alone is no backup: what was written last is in the file beside it, and moves while one copies.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from gzip import BadGzipFile
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ValidationError

from farsite_cloud.database.sqlite import FILE
from farsite_cloud.datadir import storage_failures
from farsite_cloud.relay import SECRET_FILE
from farsite_cloud.settings import CloudSettings
from farsite_cloud.vault import KEY_FILE
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MANIFEST = "manifest.json"
KEPT = (KEY_FILE, SECRET_FILE, "turn/tls")
"""Beside the database; all else in the folder is made anew."""
_MOST_FILES = 100
_NO_BACKUP = (tarfile.TarError, BadGzipFile, EOFError, zlib.error, ValidationError, sqlite3.Error)


class Manifest(BaseModel):
    format: Literal["farsite-cloud-backup/1"] = "farsite-cloud-backup/1"
    release: str
    made_at: datetime


@dataclass(frozen=True)
class Made:
    file: Path
    size: int
    has_key: bool


def backup(settings: CloudSettings, file: Path) -> Made:
    """Raises `not_found`, `conflict`, `storage_failed`, `disk_full`. A file takes its name only when it is whole."""
    folder = _own_folder(settings)
    if not (folder / FILE).exists():
        detail = f"There is no cloud in {folder}. Name its folder with --data-dir."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    with storage_failures(file.parent), _unfinished(file) as part:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".farsite-backup-") as beside:
            copy = Path(beside) / FILE
            _copy_database(folder / FILE, copy)
            _write(part, folder, copy)
        size = part.stat().st_size
    return Made(file, size, (folder / KEY_FILE).exists())


def _own_folder(settings: CloudSettings) -> Path:
    if settings.database is None:
        return settings.data_dir
    raise FarsiteError(
        ErrorCode.CONFLICT,
        "This cloud's database is PostgreSQL: back it up with pg_dump, and keep master.key beside the dump.",
    )


@contextmanager
def _unfinished(file: Path) -> Iterator[Path]:
    part = file.with_name(file.name + ".part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        yield part
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _copy_database(source: Path, target: Path) -> None:
    """As it is at one moment (https://sqlite.org/backup.html)."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as database,
            closing(sqlite3.connect(target)) as copy,
        ):
            database.backup(copy)
        _check(target)
    except sqlite3.Error as error:
        raise FarsiteError(ErrorCode.STORAGE_FAILED, f"{source} cannot be copied: {error}.") from None


def _check(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise FarsiteError(ErrorCode.STORAGE_FAILED, f"The database is damaged: {found[:200]}")


def _write(part: Path, folder: Path, database: Path) -> None:
    manifest = Manifest(release=version("farsite"), made_at=datetime.now(UTC))
    with tarfile.open(part, "w:gz") as archive:
        _add_text(archive, MANIFEST, manifest.model_dump_json())
        archive.add(database, FILE)
        for name in KEPT:
            if (folder / name).exists():
                archive.add(folder / name, name)


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), 0o600
    archive.addfile(entry, io.BytesIO(text.encode()))


def restore(settings: CloudSettings, file: Path) -> Manifest:
    """Into a data folder that has no cloud. Raises `conflict`, `invalid_request`, `storage_failed`."""
    folder = _own_folder(settings)
    if (folder / FILE).exists():
        detail = f"There is a cloud in {folder} already. Stop it, move the folder away, and restore then."
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    with storage_failures(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".restore-") as beside:
            manifest = _unpack(file, Path(beside))
            _put(Path(beside), folder)
    return manifest


def _unpack(file: Path, into: Path) -> Manifest:
    try:
        with tarfile.open(file, "r:gz") as archive:
            for number, entry in enumerate(archive):
                if number >= _MOST_FILES or not _known(entry):
                    raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{file} is no backup of a Farsite cloud.")
                archive.extract(entry, into, filter="data")
        manifest = Manifest.model_validate_json((into / MANIFEST).read_bytes())
        _check(into / FILE)
    except FileNotFoundError as error:
        missing = file if error.filename in (str(file), None) else Path(error.filename).name
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{missing} is missing.") from None
    except _NO_BACKUP as error:
        what = f"{file} cannot be read as a backup ({type(error).__name__})"
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{what}: is it whole?") from None
    return manifest


def _known(entry: tarfile.TarInfo) -> bool:
    """Plain files and folders, of the names we write."""
    if not (entry.isfile() or entry.isdir()):
        return False
    name = PurePosixPath(entry.name)
    return str(name) in (MANIFEST, FILE, *KEPT) or str(name.parent) in KEPT


def _put(source: Path, folder: Path) -> None:
    """The database last: what breaks off before leaves no cloud without its key."""
    for name in (*KEPT, FILE):
        found, target = source / name, folder / name
        if not found.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.is_dir():
            shutil.rmtree(target)
        _private(found)
        found.replace(target)


def _private(found: Path) -> None:
    for path in (found, *found.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
