"""Licences, reservations of them, what is remembered of each organization, keys that were redeemed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ID = sa.String(length=64)
_TIME = sa.DateTime(timezone=True)


def _owned(table: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        table,
        *columns,
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )
    op.create_index(op.f(f"ix_{table}_organization_id"), table, ["organization_id"], unique=False)


def upgrade() -> None:
    _owned(
        "licences",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("starts_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("issuer", sa.String(length=100), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("redeemed_at", _TIME, nullable=False),
        sa.Column("redeemed_by", sa.String(length=400), nullable=False),
    )
    _owned(
        "licence_reservations",
        sa.Column("device", sa.Integer(), nullable=False),
        sa.Column("universal", sa.Integer(), nullable=False),
    )
    _owned(
        "licence_records",
        sa.Column("covered_at", _TIME, nullable=True),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("told", sa.String(length=100), nullable=True),
    )
    op.create_table(
        "redeemed_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("redeemed_for", _ID, nullable=False),
        sa.Column("redeemed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redeemed_keys")),
    )


def downgrade() -> None:
    op.drop_table("redeemed_keys")
    for table in ("licence_records", "licence_reservations", "licences"):
        op.drop_index(op.f(f"ix_{table}_organization_id"), table_name=table)
        op.drop_table(table)
