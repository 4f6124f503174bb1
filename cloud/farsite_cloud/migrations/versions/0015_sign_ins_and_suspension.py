"""Organizations ask for shorter sign-ins, and are suspended by the operator."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("organizations", sa.Column("sign_in_idle_days", sa.Integer(), nullable=True))
    op.add_column("organizations", sa.Column("sign_in_days", sa.Integer(), nullable=True))
    op.add_column("organizations", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "organizations",
        sa.Column("suspended_reason", sa.String(500), nullable=False, server_default=""),
    )


def downgrade() -> None:
    op.drop_column("organizations", "suspended_reason")
    op.drop_column("organizations", "suspended_at")
    op.drop_column("organizations", "sign_in_days")
    op.drop_column("organizations", "sign_in_idle_days")
