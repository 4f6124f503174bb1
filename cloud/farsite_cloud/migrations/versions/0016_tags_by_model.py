"""A device's tags know its model and version, so that they are counted from an index alone.

The database itself keeps them so: an older release that still runs says nothing of them, and changes devices as ever.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_COLUMNS = ("model", "version")
_INDEX = "ix_tags_model"
_BACKFILL = (
    "UPDATE tags SET (model, version) = (SELECT model, version FROM devices WHERE id = tags.thing_id) "
    "WHERE serial <> ''"
)
_OF_NEW_DEVICE = "UPDATE tags SET model = NEW.model, version = NEW.version WHERE thing_id = NEW.id"
_OF_NEW_TAG = (
    "UPDATE tags SET (model, version) = (SELECT model, version FROM devices WHERE id = NEW.thing_id) "
    "WHERE rowid = NEW.rowid"
)
_TAG_INSERTED = "WHEN (NEW.model IS NULL AND NEW.serial <> '')"
_DEVICE_CHANGED = "WHEN (OLD.model <> NEW.model OR OLD.version <> NEW.version)"
_SQLITE = (
    f"CREATE TRIGGER tags_kind_insert AFTER INSERT ON tags {_TAG_INSERTED} BEGIN {_OF_NEW_TAG}; END",
    # Its tags may be written before it.
    f"CREATE TRIGGER devices_kind_insert AFTER INSERT ON devices BEGIN {_OF_NEW_DEVICE} AND model IS NULL; END",
    "CREATE TRIGGER devices_kind_update AFTER UPDATE OF model, version ON devices "
    f"{_DEVICE_CHANGED} BEGIN {_OF_NEW_DEVICE}; END",
)
_POSTGRESQL = (
    # Locked, because another unit of work may be changing it.
    "CREATE FUNCTION tags_take_kind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "SELECT model, version INTO NEW.model, NEW.version FROM devices WHERE id = NEW.thing_id FOR SHARE; "
    "RETURN NEW; END $$",
    "CREATE FUNCTION devices_give_kind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"{_OF_NEW_DEVICE} AND (model, version) IS DISTINCT FROM (NEW.model, NEW.version); RETURN NULL; END $$",
    f"CREATE TRIGGER tags_kind_insert BEFORE INSERT ON tags FOR EACH ROW {_TAG_INSERTED} "
    "EXECUTE FUNCTION tags_take_kind()",
    "CREATE TRIGGER devices_kind_insert AFTER INSERT ON devices FOR EACH ROW EXECUTE FUNCTION devices_give_kind()",
    "CREATE TRIGGER devices_kind_update AFTER UPDATE OF model, version ON devices FOR EACH ROW "
    f"{_DEVICE_CHANGED} EXECUTE FUNCTION devices_give_kind()",
)
_TRIGGERS = (
    ("tags_kind_insert", "tags"),
    ("devices_kind_insert", "devices"),
    ("devices_kind_update", "devices"),
)


def upgrade() -> None:
    # Tags first: whoever writes devices has looked at their tags before.
    for column in _COLUMNS:
        op.add_column("tags", sa.Column(column, sa.String(200), nullable=True))
    for statement in _SQLITE if _is_sqlite() else _POSTGRESQL:
        op.execute(sa.text(statement))
    op.execute(sa.text(_BACKFILL))
    op.create_index(_INDEX, "tags", ["organization_id", "present", "model", "version", "tag"], unique=False)


def downgrade() -> None:
    for name, table in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}" + ("" if _is_sqlite() else f" ON {table}"))
    if not _is_sqlite():
        op.execute("DROP FUNCTION devices_give_kind()")
        op.execute("DROP FUNCTION tags_take_kind()")
    op.drop_index(_INDEX, table_name="tags")
    for column in _COLUMNS:
        op.drop_column("tags", column)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
