"""Sessions know the sign-in they were opened with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("token_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_sessions_token_id"), "sessions", ["token_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sessions_token_id"), table_name="sessions")
    op.drop_column("sessions", "token_id")
