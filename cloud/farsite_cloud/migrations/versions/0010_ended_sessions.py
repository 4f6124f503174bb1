"""What ended just now is found without reading all sessions."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0006b"


def upgrade() -> None:
    op.create_index(op.f("ix_sessions_ended_at"), "sessions", ["ended_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_sessions_ended_at"), table_name="sessions")
