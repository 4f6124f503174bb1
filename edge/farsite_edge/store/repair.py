"""A damaged database is set aside, whole, and what can be read of it becomes the new one.

What it does not give (a page is lost, the file is cut off) comes from the copy the edge host makes of its database
every day. Nothing is deleted: the damaged files stay beside the new one until somebody removes them. Keys are files of
their own and are not touched.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from farsite_edge.store.copies import copy_of
from farsite_edge.store.failures import storage_errors
from farsite_edge.store.steps import STEPS, statements

SIDE_FILES = ("", "-wal", "-shm")
MARK = ".damaged-"
KEPT_BACK = ("facts", "devices", "secrets", "policies", "policy_devices", "tags")
"""Tables taken from the copy when the damaged file does not give them: what people set up. Tasks and audit rows of
yesterday are not done, or told, a second time."""
CLAIM_LOST = "claim_lost"
"""A fact: whose this edge host is could not be read. Devices and passwords may still be there: nobody on the LAN gets
them by claiming it."""
_IDLE = "DELETE FROM facts WHERE name LIKE 'inventory_%'"
_LOST = f"""
INSERT OR REPLACE INTO facts SELECT '{CLAIM_LOST}', 'yes'
WHERE NOT EXISTS (SELECT 1 FROM facts WHERE name = 'claim')
"""  # noqa: S608
logger = logging.getLogger(__name__)


@dataclass
class Repair:
    """`read`: tables as they were; `partly`: with rows missing; `from_copy`: as they were when the copy was made."""

    aside: Path
    read: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    from_copy: list[str] = field(default_factory=list)

    @property
    def detail(self) -> str:
        parts = [f"The database was damaged and is set aside as {self.aside}."]
        if self.from_copy:
            parts.append(f"From the last copy came: {', '.join(self.from_copy)}.")
        if self.partly:
            parts.append(f"Rows may be missing of: {', '.join(self.partly)}.")
        if not self.from_copy and not self.partly:
            parts.append("Everything could be read.")
        return " ".join(parts)


def repair(path: Path) -> Repair:
    """Raises `disk_full`, `storage_failed`; killed in its middle it goes on at the next start."""
    with storage_errors(path):
        made = Repair(_set_aside(path))
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            new.chmod(0o600)
            _fill(connection, made, copy_of(path))
        new.replace(path)
    logger.error("%s", made.detail)
    return made


def unfinished(path: Path) -> bool:
    """Whether a repair was begun and not ended: the database is aside, and there is none in its place."""
    return not path.exists() and bool(set_aside(path))


def set_aside(path: Path) -> list[Path]:
    """Damaged databases, oldest first."""
    found = path.parent.glob(f"{path.name}{MARK}*")
    return sorted(one for one in found if not one.name.endswith(SIDE_FILES[1:]))


def _set_aside(path: Path) -> Path:
    if unfinished(path):
        aside = set_aside(path)[-1]
    else:
        aside = path.with_name(f"{path.name}{MARK}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    for side in SIDE_FILES:
        with suppress(FileNotFoundError):
            path.with_name(path.name + side).rename(aside.with_name(aside.name + side))
    return aside


def _fill(connection: sqlite3.Connection, made: Repair, copy: Path) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN")
    for statement in statements(";".join(STEPS)):
        connection.execute(statement)
    tables = _tables(connection)
    # What triggers would write is copied like the rest.
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for table in tables:
        _take_over(connection, table, made, copy)
    if made.from_copy or made.partly:
        # What the cloud was told does not follow from these rows: it is told everything anew.
        connection.execute(_IDLE)
    if "facts" not in made.read:
        connection.execute(_LOST)
    for _, sql in triggers:
        connection.execute(sql)
    connection.execute(f"PRAGMA user_version = {len(STEPS)}")
    connection.execute("COMMIT")


def _take_over(connection: sqlite3.Connection, table: str, made: Repair, copy: Path) -> None:
    rows, whole = _read(made.aside, table)
    if whole:
        made.read.append(table)
    else:
        older, copied = _read(copy, table) if table in KEPT_BACK else ([], False)
        (made.from_copy if copied else made.partly).append(table)
        rows = older + rows  # newer ones replace older ones
    for names, values in rows:
        marks = ", ".join("?" * len(values))
        sql = f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        with suppress(sqlite3.Error):  # a row of a damaged page that is none
            connection.execute(sql, values)


Row = tuple[list[str], tuple[object, ...]]


def _read(path: Path, table: str) -> tuple[list[Row], bool]:
    """Its rows as far as they can be read, and whether these are all."""
    rows: list[Row] = []
    if not path.exists():
        return rows, False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 (our own names)
            names = [column[0] for column in cursor.description]
            rows.extend((names, values) for values in cursor)
            whole = connection.execute(f"PRAGMA quick_check({table})").fetchall() == [("ok",)]
    except sqlite3.Error:
        return rows, False
    return rows, whole


def _tables(connection: sqlite3.Connection) -> list[str]:
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    return [row[0] for row in connection.execute(sql)]
