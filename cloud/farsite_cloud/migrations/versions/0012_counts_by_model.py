"""Counts of a model, and tags of chosen devices, are read from an index alone."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
_COUNTS = "ix_inventory_counts_model"
_BEFORE = ["organization_id", "model", "place"]
_SINCE = [*_BEFORE, "tag", "device_type", "version", "state", "number"]


def upgrade() -> None:
    op.drop_index(_COUNTS, table_name="inventory_counts")
    op.create_index(_COUNTS, "inventory_counts", _SINCE, unique=False)
    op.create_index(
        "ix_tags_thing_id", "tags", ["thing_id", "organization_id", "present", "tag"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_tags_thing_id", table_name="tags")
    op.drop_index(_COUNTS, table_name="inventory_counts")
    op.create_index(_COUNTS, "inventory_counts", _BEFORE, unique=False)
