"""Campaigns with their orders, policy templates, notices and webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ID = sa.String(length=64)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_campaigns()
    _create_policy_templates()
    _create_notices()


def _create_campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("kind", _ID, nullable=False),
        sa.Column("title", sa.String(length=100), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("rollout", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("forgiven", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(length=254), nullable=False),
        sa.Column("actor_id", _ID, nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("retry_of", _ID, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("starts_at", _TIME, nullable=True),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("due_at", _TIME, nullable=True),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_campaigns_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index(op.f("ix_campaigns_due_at"), "campaigns", ["due_at"], unique=False)
    op.create_index(op.f("ix_campaigns_organization_id"), "campaigns", ["organization_id"], unique=False)
    op.create_table(
        "campaign_orders",
        sa.Column("campaign_id", _ID, nullable=False),
        sa.Column("edge_host_id", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("devices", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("code", _ID, nullable=True),
        sa.Column("wanted", sa.String(length=10), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("obeyed", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("steps_kept", sa.Integer(), nullable=False),
        sa.Column("task", _ID, nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("due_at", _TIME, nullable=True),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.Column("heard_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_orders_campaign_id_campaigns")
        ),
        sa.ForeignKeyConstraint(
            ["edge_host_id"], ["edge_hosts.id"], name=op.f("fk_campaign_orders_edge_host_id_edge_hosts")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_campaign_orders_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_orders")),
        sa.UniqueConstraint("campaign_id", "position", name=op.f("uq_campaign_orders_campaign_id_position")),
    )
    op.create_index(
        "ix_campaign_orders_edge_host_id_state", "campaign_orders", ["edge_host_id", "state"], unique=False
    )
    op.create_index(
        op.f("ix_campaign_orders_organization_id"), "campaign_orders", ["organization_id"], unique=False
    )
    op.create_table(
        "campaign_devices",
        sa.Column("campaign_id", _ID, nullable=False),
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("edge_host_id", _ID, nullable=False),
        sa.Column("device", _ID, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("code", _ID, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_devices_campaign_id_campaigns")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["campaign_orders.id"], name=op.f("fk_campaign_devices_order_id_campaign_orders")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_campaign_devices_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_devices")),
        sa.UniqueConstraint("order_id", "device", name=op.f("uq_campaign_devices_order_id_device")),
    )
    op.create_index(
        "ix_campaign_devices_campaign_id_state", "campaign_devices", ["campaign_id", "state"], unique=False
    )
    op.create_index(
        op.f("ix_campaign_devices_organization_id"), "campaign_devices", ["organization_id"], unique=False
    )
    op.create_table(
        "campaign_steps",
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("device", _ID, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["campaign_orders.id"], name=op.f("fk_campaign_steps_order_id_campaign_orders")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_campaign_steps_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_steps")),
        sa.UniqueConstraint("order_id", "seq", name=op.f("uq_campaign_steps_order_id_seq")),
    )
    op.create_index(
        op.f("ix_campaign_steps_organization_id"), "campaign_steps", ["organization_id"], unique=False
    )


def _create_policy_templates() -> None:
    op.create_table(
        "policy_templates",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("changed_by", sa.String(length=254), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_policy_templates_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_templates")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_policy_templates_organization_id_name")),
    )
    op.create_index(
        op.f("ix_policy_templates_organization_id"), "policy_templates", ["organization_id"], unique=False
    )
    op.create_table(
        "policy_template_versions",
        sa.Column("template_id", _ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.String(length=254), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_policy_template_versions_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["policy_templates.id"],
            name=op.f("fk_policy_template_versions_template_id_policy_templates"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_template_versions")),
        sa.UniqueConstraint(
            "template_id", "version", name=op.f("uq_policy_template_versions_template_id_version")
        ),
    )
    op.create_index(
        op.f("ix_policy_template_versions_organization_id"),
        "policy_template_versions",
        ["organization_id"],
        unique=False,
    )


def _create_notices() -> None:
    op.create_table(
        "notice_choices",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_notice_choices_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_choices")),
        sa.UniqueConstraint(
            "organization_id",
            "account_id",
            "kind",
            name=op.f("uq_notice_choices_organization_id_account_id_kind"),
        ),
    )
    op.create_index(
        op.f("ix_notice_choices_organization_id"), "notice_choices", ["organization_id"], unique=False
    )
    op.create_table(
        "notice_events",
        sa.Column("kind", _ID, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("text", sa.String(length=500), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("edge_host_id", _ID, nullable=True),
        sa.Column("account_id", _ID, nullable=True),
        sa.Column("lasting", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, nullable=True),
        sa.Column("told_at", _TIME, nullable=True),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_notice_events_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_events")),
        sa.UniqueConstraint("organization_id", "key", name=op.f("uq_notice_events_organization_id_key")),
    )
    op.create_index(op.f("ix_notice_events_due_at"), "notice_events", ["due_at"], unique=False)
    op.create_index(op.f("ix_notice_events_edge_host_id"), "notice_events", ["edge_host_id"], unique=False)
    op.create_index(
        op.f("ix_notice_events_organization_id"), "notice_events", ["organization_id"], unique=False
    )
    op.create_index(
        "ix_notice_events_organization_id_kind", "notice_events", ["organization_id", "kind"], unique=False
    )
    op.create_table(
        "notice_settings",
        sa.Column("offline_after_minutes", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_notice_settings_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_settings")),
        sa.UniqueConstraint("organization_id", name=op.f("uq_notice_settings_organization_id")),
    )
    op.create_index(
        op.f("ix_notice_settings_organization_id"), "notice_settings", ["organization_id"], unique=False
    )
    op.create_table(
        "notices",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("read_at", _TIME, nullable=True),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_notices_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    op.create_index(
        "ix_notices_account_id_organization_id", "notices", ["account_id", "organization_id"], unique=False
    )
    op.create_index(op.f("ix_notices_organization_id"), "notices", ["organization_id"], unique=False)
    op.create_table(
        "webhooks",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("url", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", _TIME, nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.String(length=500), nullable=False),
        sa.Column("failing_since", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_webhooks_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_account_id"), "webhooks", ["account_id"], unique=False)
    op.create_index(op.f("ix_webhooks_organization_id"), "webhooks", ["organization_id"], unique=False)
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook_id", _ID, nullable=False),
        sa.Column("kind", _ID, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("problem", sa.String(length=500), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_webhook_deliveries_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id_webhooks")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        op.f("ix_webhook_deliveries_organization_id"), "webhook_deliveries", ["organization_id"], unique=False
    )
    op.create_index(
        "ix_webhook_deliveries_state_due_at", "webhook_deliveries", ["state", "due_at"], unique=False
    )
    op.create_index(
        op.f("ix_webhook_deliveries_webhook_id"), "webhook_deliveries", ["webhook_id"], unique=False
    )


def downgrade() -> None:
    # Their indexes go with them.
    for table in (
        "webhook_deliveries",
        "webhooks",
        "notices",
        "notice_settings",
        "notice_events",
        "notice_choices",
        "policy_template_versions",
        "policy_templates",
        "campaign_steps",
        "campaign_devices",
        "campaign_orders",
        "campaigns",
    ):
        op.drop_table(table)
