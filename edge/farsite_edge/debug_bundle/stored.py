"""What the data folder holds, read without changing it, and as far as it can be read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farsite_edge.store.database import FILE as DATABASE_FILE
from farsite_edge.store.vault import KEY_FILE, unseal

TASKS, STEPS, AUDIT = 100, 2000, 500
"""The newest of each."""


@dataclass
class Stored:
    """`problems`: what could not be read, and why. `secrets` are for taking out of everything else, nothing more."""

    counts: dict[str, int] = field(default_factory=dict)
    check: str = ""
    devices: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set, repr=False)
    problems: list[str] = field(default_factory=list)


def read_stored(folder: Path) -> Stored:
    found, path = Stored(), folder / DATABASE_FILE
    if not path.exists():
        found.problems.append(f"there is no {DATABASE_FILE}")
        return found
    try:
        with _opened(path) as connection:
            _read(connection, folder, found)
    except sqlite3.Error as error:
        found.problems.append(f"{DATABASE_FILE}: {error}")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(_open(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        yield connection


def _open(path: Path) -> sqlite3.Connection:
    """Reading only; on a disk that cannot be written SQLite needs to be told that nobody else does."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=5)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        return sqlite3.connect(f"{uri}&immutable=1", uri=True)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _read(connection: sqlite3.Connection, folder: Path, found: Stored) -> None:
    # Secrets first: without them nothing else could be looked through for them.
    parts: dict[str, Callable[[], Any]] = {
        "secrets": lambda: _secrets(connection, folder),
        "check": lambda: "\n".join(str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")),
        "counts": lambda: _counts(connection, found),
        "devices": lambda: [
            _record(row) for row in connection.execute("SELECT record FROM devices ORDER BY id")
        ],
        "tasks": lambda: _tasks(connection),
        "audit": lambda: _audit(connection),
    }
    for name, read in parts.items():
        try:
            setattr(found, name, read())
        except (sqlite3.Error, ValueError, OSError) as error:
            found.problems.append(f"{name}: {error}")


def _secrets(connection: sqlite3.Connection, folder: Path) -> set[str]:
    """Passwords, and what is a list of them."""
    key = (folder / KEY_FILE).read_bytes()
    known: set[str] = set()
    for row in connection.execute("SELECT name, nonce, sealed FROM secrets"):
        plain = unseal(key, row["name"], row["nonce"], row["sealed"])
        if plain is not None:
            known |= set(_leaves(plain))
    return known


def _leaves(text: str) -> Iterator[str]:
    yield text
    try:
        value = json.loads(text)
    except ValueError:
        if "://" in text and "@" in text:
            yield text.split("://", 1)[1].rsplit("@", 1)[0].split(":", 1)[-1]  # the password of a proxy
        return
    yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:
    """Of values that may be secret: what is told as a name is none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        # [name, password], or a list of such pairs
        yield from _strings(value[-1]) if value and isinstance(value[0], str) else _of_each(value)
    elif isinstance(value, dict):
        yield from _of_each([one for name, one in value.items() if "password" in name or "secret" in name])


def _of_each(values: list[Any]) -> Iterator[str]:
    for value in values:
        yield from _strings(value)


def _record(row: sqlite3.Row) -> dict[str, Any]:
    value = json.loads(row["record"])
    return value if isinstance(value, dict) else {}


def _counts(connection: sqlite3.Connection, found: Stored) -> dict[str, int]:
    counts: dict[str, int] = {}
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    for (name,) in connection.execute(sql).fetchall():
        try:
            counts[name] = connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
        except sqlite3.Error as error:
            found.problems.append(f"{name}: {error}")
    return counts


def _tasks(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """What was to be done stays out: it may hold what people entered."""
    sql = "SELECT id, record FROM tasks ORDER BY seq DESC LIMIT ?"
    tasks = {
        row["id"]: _record(row) | {"devices": [], "steps": []} for row in connection.execute(sql, (TASKS,))
    }
    for row in connection.execute("SELECT task, device, state, step, detail, code FROM task_devices"):
        if row["task"] in tasks:
            tasks[row["task"]]["devices"].append(dict(row))
    sql = "SELECT task, device, at, step, detail FROM task_steps ORDER BY seq DESC LIMIT ?"
    for row in connection.execute(sql, (STEPS,)):
        if row["task"] in tasks:
            tasks[row["task"]]["steps"].append(dict(row))
    return list(tasks.values())


def _audit(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute("SELECT entry FROM audit ORDER BY seq DESC LIMIT ?", (AUDIT,))
    return [json.loads(row["entry"]) for row in rows]
