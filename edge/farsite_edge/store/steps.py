"""Schema steps, in order. A step is never changed once released; new ones are appended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE facts (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE devices (
        id TEXT PRIMARY KEY,
        managed INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE secrets (
        name TEXT PRIMARY KEY,
        nonce BLOB NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE refused_credentials (
        device TEXT NOT NULL,
        digest TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (device, digest)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        entry TEXT NOT NULL,
        sent INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX audit_unsent ON audit (seq) WHERE sent = 0;
    """,
    """
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        idempotency TEXT UNIQUE,
        finished INTEGER NOT NULL DEFAULT 0,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX tasks_open ON tasks (seq) WHERE finished = 0;

    CREATE TABLE task_devices (
        task TEXT NOT NULL,
        position INTEGER NOT NULL,
        device TEXT NOT NULL,
        state TEXT NOT NULL,
        lease TEXT,
        step TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '',
        code TEXT,
        payload TEXT NOT NULL,
        memory TEXT,
        PRIMARY KEY (task, position)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX task_devices_once ON task_devices (task, device);

    CREATE TABLE task_steps (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        task TEXT NOT NULL,
        device TEXT NOT NULL,
        at TEXT NOT NULL,
        step TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX task_steps_of ON task_steps (task, seq);

    CREATE TABLE os_images (
        file TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE policies (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        idempotency TEXT UNIQUE,
        record TEXT NOT NULL
    ) STRICT;

    CREATE TABLE policy_devices (
        policy TEXT NOT NULL,
        device TEXT NOT NULL,
        result TEXT NOT NULL,
        PRIMARY KEY (policy, device)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX policy_devices_of ON policy_devices (device);
    """,
    # What the cloud has to be told, written down by the database itself together with each change.
    """
    CREATE TABLE tags (
        thing TEXT NOT NULL,
        tag TEXT NOT NULL,
        present INTEGER NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (thing, tag)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE journal (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        gone INTEGER NOT NULL DEFAULT 0,
        UNIQUE (kind, key)
    ) STRICT;
    INSERT INTO journal (kind, key) SELECT 'device', id FROM devices WHERE managed = 1;
    INSERT INTO journal (kind, key) SELECT 'image', file FROM os_images;
    INSERT INTO journal (kind, key) SELECT 'task', id FROM tasks ORDER BY seq;
    INSERT INTO journal (kind, key) SELECT 'work', task || '/' || position FROM task_devices;

    CREATE TRIGGER journal_device_written AFTER INSERT ON devices WHEN NEW.managed = 1 BEGIN
        DELETE FROM journal WHERE kind = 'device' AND key = NEW.id;
        INSERT INTO journal (kind, key) VALUES ('device', NEW.id);
    END;
    CREATE TRIGGER journal_device_released AFTER INSERT ON devices
        WHEN NEW.managed = 0 AND EXISTS (SELECT 1 FROM journal WHERE kind = 'device' AND key = NEW.id AND gone = 0)
    BEGIN
        DELETE FROM journal WHERE kind = 'device' AND key = NEW.id;
        INSERT INTO journal (kind, key, gone) VALUES ('device', NEW.id, 1);
    END;
    CREATE TRIGGER journal_device_changed AFTER UPDATE ON devices WHEN NEW.managed = 1 OR OLD.managed = 1 BEGIN
        DELETE FROM journal WHERE kind = 'device' AND key = NEW.id;
        INSERT INTO journal (kind, key, gone) VALUES ('device', NEW.id, 1 - NEW.managed);
    END;
    CREATE TRIGGER journal_device_deleted AFTER DELETE ON devices WHEN OLD.managed = 1 BEGIN
        DELETE FROM journal WHERE kind = 'device' AND key = OLD.id;
        INSERT INTO journal (kind, key, gone) VALUES ('device', OLD.id, 1);
    END;
    CREATE TRIGGER journal_tagged AFTER INSERT ON tags BEGIN
        DELETE FROM journal WHERE kind = 'host' AND NEW.thing = '';
        INSERT INTO journal (kind, key) SELECT 'host', '' WHERE NEW.thing = '';
        DELETE FROM journal WHERE kind = 'device' AND key = NEW.thing AND gone = 0;
        INSERT INTO journal (kind, key) SELECT 'device', id FROM devices WHERE id = NEW.thing AND managed = 1;
    END;
    CREATE TRIGGER journal_image_written AFTER INSERT ON os_images BEGIN
        DELETE FROM journal WHERE kind = 'image' AND key = NEW.file;
        INSERT INTO journal (kind, key) VALUES ('image', NEW.file);
    END;
    CREATE TRIGGER journal_image_deleted AFTER DELETE ON os_images BEGIN
        DELETE FROM journal WHERE kind = 'image' AND key = OLD.file;
        INSERT INTO journal (kind, key, gone) VALUES ('image', OLD.file, 1);
    END;
    CREATE TRIGGER journal_task_made AFTER INSERT ON tasks BEGIN
        INSERT INTO journal (kind, key) VALUES ('task', NEW.id);
    END;
    CREATE TRIGGER journal_task_changed AFTER UPDATE OF record ON tasks BEGIN
        DELETE FROM journal WHERE kind = 'task' AND key = NEW.id;
        INSERT INTO journal (kind, key) VALUES ('task', NEW.id);
    END;
    CREATE TRIGGER journal_task_forgotten AFTER DELETE ON tasks BEGIN
        DELETE FROM journal WHERE kind = 'task' AND key = OLD.id;
    END;
    CREATE TRIGGER journal_work_made AFTER INSERT ON task_devices BEGIN
        INSERT INTO journal (kind, key) VALUES ('work', NEW.task || '/' || NEW.position);
    END;
    CREATE TRIGGER journal_work_changed AFTER UPDATE OF state, step, detail, code ON task_devices BEGIN
        DELETE FROM journal WHERE kind = 'work' AND key = NEW.task || '/' || NEW.position;
        INSERT INTO journal (kind, key) VALUES ('work', NEW.task || '/' || NEW.position);
    END;
    CREATE TRIGGER journal_work_forgotten AFTER DELETE ON task_devices BEGIN
        DELETE FROM journal WHERE kind = 'work' AND key = OLD.task || '/' || OLD.position;
    END;
    """,
    """
    CREATE TABLE work_orders (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        claims TEXT NOT NULL,
        task TEXT,
        ended TEXT,
        code TEXT,
        detail TEXT NOT NULL DEFAULT '',
        revision INTEGER NOT NULL DEFAULT 0,
        steps_sent INTEGER NOT NULL DEFAULT 0,
        devices_sent INTEGER NOT NULL DEFAULT 0,
        closed INTEGER NOT NULL DEFAULT 0,
        touched INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX work_orders_open ON work_orders (seq) WHERE closed = 0;
    """,
)


def statements(script: str) -> Iterator[str]:
    """One by one; a trigger holds statements of its own."""
    statement = ""
    for part in script.split(";"):
        statement += part
        if statement.strip() and sqlite3.complete_statement(f"{statement};"):
            yield statement
            statement = ""
        elif statement.strip():
            statement += ";"
