"""An index of parts of texts for looking for devices, where the database can have one.

SQLite: FTS5 with trigrams (3.34 and newer), kept up to date by triggers. PostgreSQL: the extension pg_trgm, which whoever
may create in a database may add to it (13 and newer). Without either texts are looked for row by row, as before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0011"
down_revision = "0010"

_SQLITE = (
    "CREATE VIRTUAL TABLE devices_text USING fts5("
    "search, content='devices', content_rowid='rowid', detail='none', columnsize=0, tokenize='trigram')",
    "INSERT INTO devices_text(devices_text) VALUES ('rebuild')",
    "CREATE TRIGGER devices_text_insert AFTER INSERT ON devices BEGIN "
    "INSERT INTO devices_text(rowid, search) VALUES (new.rowid, new.search); END",
    "CREATE TRIGGER devices_text_delete AFTER DELETE ON devices BEGIN "
    "INSERT INTO devices_text(devices_text, rowid, search) VALUES ('delete', old.rowid, old.search); END",
    "CREATE TRIGGER devices_text_update AFTER UPDATE OF search ON devices WHEN old.search <> new.search BEGIN "
    "INSERT INTO devices_text(devices_text, rowid, search) VALUES ('delete', old.rowid, old.search); "
    "INSERT INTO devices_text(rowid, search) VALUES (new.rowid, new.search); END",
)
_POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX ix_devices_search ON devices USING gin (search gin_trgm_ops)",
)


def upgrade() -> None:
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            for statement in _SQLITE if _is_sqlite(connection) else _POSTGRESQL:
                connection.execute(sa.text(statement))
    except DBAPIError as error:
        # A lock that was not to be had in time is no missing feature.
        if getattr(error.orig, "sqlstate", None) == "55P03":
            raise


def downgrade() -> None:
    connection = op.get_bind()
    if not _is_sqlite(connection):
        op.execute("DROP INDEX IF EXISTS ix_devices_search")
        return
    for when in ("insert", "delete", "update"):
        op.execute(f"DROP TRIGGER IF EXISTS devices_text_{when}")
    op.execute("DROP TABLE IF EXISTS devices_text")


def _is_sqlite(connection: sa.Connection) -> bool:
    return connection.dialect.name == "sqlite"
