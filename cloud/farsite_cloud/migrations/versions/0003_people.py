"""Second factors, mailed codes, personal tokens; mails; folder access, invitations.

What is added to tables of earlier releases has a default or may be empty: the release before keeps running on it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.String(length=64)
_TIME = sa.DateTime(timezone=True)


def _added() -> dict[str, list[sa.Column[object]]]:
    def flag(name: str, default: bool) -> sa.Column[object]:
        return sa.Column(
            name, sa.Boolean(), nullable=False, server_default=sa.true() if default else sa.false()
        )

    def text(name: str, length: int) -> sa.Column[object]:
        return sa.Column(name, sa.String(length=length), nullable=False, server_default="")

    def number(name: str, default: str) -> sa.Column[object]:
        return sa.Column(name, sa.Integer(), nullable=False, server_default=default)

    return {
        "accounts": [
            sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
            sa.Column("totp_since", _TIME, nullable=True),
            number("totp_step", "0"),
        ],
        "tokens": [
            text("name", 100),
            sa.Column("scopes", sa.JSON(none_as_null=True), nullable=True),
            flag("mfa", False),
            text("source", 64),
            text("agent", 200),
        ],
        "organizations": [
            flag("invited_start_as_viewers", True),
            flag("require_mfa", False),
            number("revision", "1"),
        ],
        "memberships": [flag("all_folders", True), number("revision", "1")],
        "folders": [number("revision", "1")],
    }


def upgrade() -> None:
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(op.f("ix_folders_parent_id"), "folders", ["parent_id"], unique=False)
    _create_account_tables()
    _create_organization_tables()


def _create_account_tables() -> None:
    op.create_table(
        "recovery_codes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_recovery_codes_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_account_id"), "recovery_codes", ["account_id"], unique=False)
    op.create_table(
        "mailed_codes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailed_codes")),
    )
    op.create_index(op.f("ix_mailed_codes_email"), "mailed_codes", ["email"], unique=False)
    op.create_table(
        "mails",
        sa.Column("id", _ID, nullable=False),
        sa.Column("recipient", sa.String(length=254), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("problem", sa.String(length=500), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
    )
    op.create_index(op.f("ix_mails_due_at"), "mails", ["due_at"], unique=False)


def _create_organization_tables() -> None:
    op.create_table(
        "folder_access",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("folder_id", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_folder_access_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name=op.f("fk_folder_access_folder_id_folders")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_folder_access_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_folder_access")),
        sa.UniqueConstraint(
            "organization_id",
            "account_id",
            "folder_id",
            name=op.f("uq_folder_access_organization_id_account_id_folder_id"),
        ),
    )
    op.create_index(op.f("ix_folder_access_folder_id"), "folder_access", ["folder_id"], unique=False)
    op.create_index(
        op.f("ix_folder_access_organization_id"), "folder_access", ["organization_id"], unique=False
    )
    op.create_table(
        "invitations",
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("all_folders", sa.Boolean(), nullable=False),
        sa.Column("folder_ids", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("invited_by", sa.String(length=254), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_invitations_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("digest", name=op.f("uq_invitations_digest")),
        sa.UniqueConstraint("organization_id", "email", name=op.f("uq_invitations_organization_id_email")),
    )
    op.create_index(op.f("ix_invitations_email"), "invitations", ["email"], unique=False)
    op.create_index(op.f("ix_invitations_organization_id"), "invitations", ["organization_id"], unique=False)


def downgrade() -> None:
    for table in ("invitations", "folder_access", "mails", "mailed_codes", "recovery_codes"):
        op.drop_table(table)
    op.drop_index(op.f("ix_folders_parent_id"), table_name="folders")
    # Personal tokens would be full sign-ins to the release before.
    op.execute("DELETE FROM tokens WHERE scopes IS NOT NULL")
    # So would narrowed memberships be of every folder; and accounts with a second factor lose it: all is signed out.
    op.execute("DELETE FROM tokens WHERE mfa")
    op.execute("DELETE FROM memberships WHERE NOT all_folders")
    for table, columns in _added().items():
        for column in columns:
            op.drop_column(table, column.name)
