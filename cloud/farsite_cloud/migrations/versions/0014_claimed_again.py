"""An edge host is claimed again as the same one, and certificates it had before are void."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("setup_codes", sa.Column("edge_host_id", sa.String(64), nullable=True))
    op.add_column("edge_hosts", sa.Column("certificates_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("edge_hosts", "certificates_since")
    op.drop_column("setup_codes", "edge_host_id")
