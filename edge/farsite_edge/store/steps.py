"""Schema steps, in order. A step is never changed once released; new ones are appended."""

from __future__ import annotations

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
)
