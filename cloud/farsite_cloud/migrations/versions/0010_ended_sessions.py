"""What ended just now is found without reading all sessions; devices of other makers are counted apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index(op.f("ix_sessions_ended_at"), "sessions", ["ended_at"], unique=False)
    op.add_column("edge_hosts", sa.Column("devices_other", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("edge_hosts", "devices_other")
    op.drop_index(op.f("ix_sessions_ended_at"), table_name="sessions")
