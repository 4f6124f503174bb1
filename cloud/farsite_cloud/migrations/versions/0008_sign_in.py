"""Codes by mail as a second factor, passkeys, identity providers of organizations.

What is added to tables of earlier releases may be empty: the release before keeps running on it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ID = sa.String(length=64)
_TIME = sa.DateTime(timezone=True)
_NARROWED = ("browser_sign_ins", "device_sign_ins")
_TABLES = (
    "provider_sign_ins",
    "external_identities",
    "provider_domains",
    "identity_providers",
    "passkey_challenges",
    "passkeys",
    "sign_in_codes",
)


def upgrade() -> None:
    op.add_column("accounts", sa.Column("email_codes_since", _TIME, nullable=True))
    op.add_column(
        "organizations",
        sa.Column("provider_required", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    for table in _NARROWED:
        op.add_column(table, sa.Column("organization_id", _ID, nullable=True))
    _create_factor_tables()
    _create_provider_tables()
    _create_identity_tables()


def _account(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_account_id_accounts")
    return sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=name)


def _organization(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_organization_id_organizations")
    return sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=name)


def _index(table: str, column: str) -> None:
    op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)


def _create_factor_tables() -> None:
    op.create_table(
        "sign_in_codes",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("code", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        _account("sign_in_codes"),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_sign_in_codes")),
    )
    op.create_table(
        "passkeys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("credential_id", sa.String(length=1400), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("transports", sa.JSON(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        _account("passkeys"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
    )
    _index("passkeys", "account_id")
    op.create_table(
        "passkey_challenges",
        sa.Column("id", _ID, nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("account_id", _ID, nullable=True),
        sa.Column("expires_at", _TIME, nullable=False),
        _account("passkey_challenges"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkey_challenges")),
    )
    _index("passkey_challenges", "account_id")
    _index("passkey_challenges", "expires_at")


def _create_provider_tables() -> None:
    op.create_table(
        "identity_providers",
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("client_id", sa.String(length=500), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=True),
        sa.Column("new_members", sa.String(length=20), nullable=True),
        sa.Column("counts_as_mfa", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        _organization("identity_providers"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_providers")),
        sa.UniqueConstraint("organization_id", name=op.f("uq_identity_providers_organization_id")),
    )
    _index("identity_providers", "organization_id")
    op.create_table(
        "provider_domains",
        sa.Column("domain", sa.String(length=190), nullable=False),
        sa.Column("code", _ID, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("proven_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        _organization("provider_domains"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_domains")),
        sa.UniqueConstraint(
            "organization_id", "domain", name=op.f("uq_provider_domains_organization_id_domain")
        ),
    )
    _index("provider_domains", "domain")
    _index("provider_domains", "organization_id")


def _create_identity_tables() -> None:
    op.create_table(
        "external_identities",
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        _account("external_identities"),
        _organization("external_identities"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_external_identities")),
        sa.UniqueConstraint(
            "organization_id",
            "issuer",
            "subject",
            name=op.f("uq_external_identities_organization_id_issuer_subject"),
        ),
    )
    _index("external_identities", "account_id")
    _index("external_identities", "organization_id")
    op.create_table(
        "provider_sign_ins",
        sa.Column("opened_by", _ID, nullable=False),
        sa.Column("kept", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        _organization("provider_sign_ins"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_sign_ins")),
    )
    _index("provider_sign_ins", "expires_at")
    _index("provider_sign_ins", "organization_id")


def downgrade() -> None:
    # Sign-ins for one organization: the release before could make them do what their account may everywhere.
    op.execute("DELETE FROM tokens WHERE organization_id IS NOT NULL AND scopes IS NULL")
    # Accounts lose these factors: what was proven with one no longer counts.
    op.execute("UPDATE tokens SET mfa = false WHERE account_id IN (SELECT account_id FROM passkeys)")
    by_mail = "SELECT id FROM accounts WHERE email_codes_since IS NOT NULL"
    op.execute(f"UPDATE tokens SET mfa = false WHERE account_id IN ({by_mail})")  # noqa: S608
    for table in _NARROWED:
        op.execute(f"DELETE FROM {table} WHERE organization_id IS NOT NULL")  # noqa: S608
        op.drop_column(table, "organization_id")
    for table in _TABLES:
        op.drop_table(table)
    op.drop_column("organizations", "provider_required")
    op.drop_column("accounts", "email_codes_since")
