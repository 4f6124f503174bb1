"""Since when devices are unreachable, and from how many on that is told of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_INDEX = "ix_devices_unreachable"
_LOST = sa.text("unreachable_since IS NOT NULL")


def upgrade() -> None:
    op.add_column("devices", sa.Column("unreachable_since", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        _INDEX,
        "devices",
        ["edge_host_id", "unreachable_since"],
        unique=False,
        sqlite_where=_LOST,
        postgresql_where=_LOST,
    )
    op.add_column(
        "notice_settings",
        sa.Column("unreachable_devices", sa.Integer(), nullable=False, server_default="10"),
    )


def downgrade() -> None:
    op.drop_column("notice_settings", "unreachable_devices")
    op.drop_index(_INDEX, table_name="devices")
    op.drop_column("devices", "unreachable_since")
