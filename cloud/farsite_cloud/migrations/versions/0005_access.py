"""Service accounts, narrowed access tokens, support access, sign-in by browser, exports, deletion with a grace time.

What is added to tables of earlier releases has a default or may be empty: the release before keeps running on it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ID = sa.String(length=64)
_TIME = sa.DateTime(timezone=True)
_ADDED = {
    "accounts": ("kind", "organization_id", "description", "disabled_at", "revision"),
    "organizations": ("deletes_at", "deletion_by", "lease_until"),
    "tokens": ("organization_id", "folder_ids", "used_at", "used_from"),
}
_INDEXES = (("accounts", "organization_id"), ("organizations", "deletes_at"), ("tokens", "organization_id"))


def upgrade() -> None:
    _create_sign_in_tables()
    _create_organization_tables()
    _add_columns()


def _create_sign_in_tables() -> None:
    op.create_table(
        "erased_organizations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("erased_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erased_organizations")),
    )
    op.create_table(
        "browser_sign_ins",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("mfa", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_browser_sign_ins_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_browser_sign_ins")),
    )
    op.create_index(op.f("ix_browser_sign_ins_account_id"), "browser_sign_ins", ["account_id"], unique=False)
    op.create_index(op.f("ix_browser_sign_ins_expires_at"), "browser_sign_ins", ["expires_at"], unique=False)
    op.create_table(
        "device_sign_ins",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_digest", _ID, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("source", _ID, nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("polled_at", _TIME, nullable=True),
        sa.Column("account_id", _ID, nullable=True),
        sa.Column("mfa", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_device_sign_ins_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_sign_ins")),
        sa.UniqueConstraint("user_digest", name=op.f("uq_device_sign_ins_user_digest")),
    )
    op.create_index(op.f("ix_device_sign_ins_account_id"), "device_sign_ins", ["account_id"], unique=False)
    op.create_index(op.f("ix_device_sign_ins_expires_at"), "device_sign_ins", ["expires_at"], unique=False)


def _create_organization_tables() -> None:
    op.create_table(
        "exports",
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("requested_by", sa.String(length=254), nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("rows_done", sa.Integer(), nullable=False),
        sa.Column("rows_total", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("lease_until", _TIME, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", _ID, nullable=False),
        sa.Column("problem", sa.String(length=500), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_exports_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
    )
    op.create_index(op.f("ix_exports_organization_id"), "exports", ["organization_id"], unique=False)
    op.create_index(op.f("ix_exports_state"), "exports", ["state"], unique=False)
    op.create_table(
        "support_access",
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("all_folders", sa.Boolean(), nullable=False),
        sa.Column("folder_ids", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("granted_by", sa.String(length=254), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("ended_by", sa.String(length=254), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("lease_until", _TIME, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_support_access_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_access")),
    )
    op.create_index(op.f("ix_support_access_email"), "support_access", ["email"], unique=False)
    op.create_index(
        op.f("ix_support_access_organization_id"), "support_access", ["organization_id"], unique=False
    )
    op.create_index(op.f("ix_support_access_until"), "support_access", ["until"], unique=False)
    op.create_table(
        "export_chunks",
        sa.Column("export_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"], ["exports.id"], name=op.f("fk_export_chunks_export_id_exports")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_export_chunks_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_chunks")),
        sa.UniqueConstraint("export_id", "number", name=op.f("uq_export_chunks_export_id_number")),
    )
    op.create_index(
        op.f("ix_export_chunks_organization_id"), "export_chunks", ["organization_id"], unique=False
    )


def _add_columns() -> None:
    op.add_column(
        "accounts", sa.Column("kind", sa.String(length=20), server_default="person", nullable=False)
    )
    op.add_column("accounts", sa.Column("organization_id", _ID, nullable=True))
    op.add_column(
        "accounts", sa.Column("description", sa.String(length=1000), server_default="", nullable=False)
    )
    op.add_column("accounts", sa.Column("disabled_at", _TIME, nullable=True))
    op.add_column("accounts", sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
    op.create_index(op.f("ix_accounts_organization_id"), "accounts", ["organization_id"], unique=False)
    op.add_column("organizations", sa.Column("deletes_at", _TIME, nullable=True))
    op.add_column(
        "organizations", sa.Column("deletion_by", sa.String(length=254), server_default="", nullable=False)
    )
    op.add_column("organizations", sa.Column("lease_until", _TIME, nullable=True))
    op.create_index(op.f("ix_organizations_deletes_at"), "organizations", ["deletes_at"], unique=False)
    op.add_column("tokens", sa.Column("organization_id", _ID, nullable=True))
    op.add_column("tokens", sa.Column("folder_ids", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("tokens", sa.Column("used_at", _TIME, nullable=True))
    op.add_column("tokens", sa.Column("used_from", _ID, server_default="", nullable=False))
    op.create_index(op.f("ix_tokens_organization_id"), "tokens", ["organization_id"], unique=False)


def downgrade() -> None:
    # To the release before, these would reach further than they may, or would never have been disabled.
    op.execute("DELETE FROM tokens WHERE organization_id IS NOT NULL OR folder_ids IS NOT NULL")
    services = "SELECT id FROM accounts WHERE kind = 'service'"
    op.execute(f"DELETE FROM tokens WHERE account_id IN ({services})")  # noqa: S608
    op.execute(f"DELETE FROM folder_access WHERE account_id IN ({services})")  # noqa: S608
    op.execute(f"DELETE FROM memberships WHERE account_id IN ({services})")  # noqa: S608
    for table in ("export_chunks", "exports", "support_access", "device_sign_ins", "browser_sign_ins"):
        op.drop_table(table)
    op.drop_table("erased_organizations")
    for table, column in _INDEXES:
        op.drop_index(op.f(f"ix_{table}_{column}"), table_name=table)
    for table, columns in _ADDED.items():
        for column in columns:
            op.drop_column(table, column)
