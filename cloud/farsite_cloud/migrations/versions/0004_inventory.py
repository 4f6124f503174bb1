"""Inventory: devices, tags, images and tasks of edge hosts; saved views; the operator's catalogue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ID = sa.String(length=64)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "catalogue_models",
        sa.Column("model_key", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("warranty_months", sa.Integer(), nullable=True),
        sa.Column("hardware_support_end", sa.Date(), nullable=True),
        sa.Column("software_support_end", sa.Date(), nullable=True),
        sa.Column("tracks", sa.JSON(), nullable=False),
        sa.Column("replacement", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("model_key", name=op.f("pk_catalogue_models")),
    )
    op.create_table(
        "inventory_counts",
        sa.Column("place", _ID, nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("product", sa.String(length=200), nullable=False),
        sa.Column("device_type", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("tag", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_inventory_counts_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inventory_counts")),
    )
    op.create_index(
        "ix_inventory_counts_place",
        "inventory_counts",
        [
            "organization_id",
            "place",
            "model",
            "product",
            "device_type",
            "version",
            "state",
            "tag",
            "number",
        ],
        unique=False,
    )
    op.create_index(
        "ix_inventory_counts_model", "inventory_counts", ["organization_id", "model", "place"], unique=False
    )
    op.create_table(
        "inventory_positions",
        sa.Column("epoch", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("devices", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_inventory_positions_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inventory_positions")),
    )
    op.create_index(
        op.f("ix_inventory_positions_organization_id"),
        "inventory_positions",
        ["organization_id"],
        unique=False,
    )
    op.create_table(
        "saved_views",
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("created_by", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("query", sa.JSON(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_saved_views_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_saved_views_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
    )
    op.create_index(
        "ix_saved_views_account_id", "saved_views", ["organization_id", "account_id"], unique=False
    )
    op.create_index(op.f("ix_saved_views_organization_id"), "saved_views", ["organization_id"], unique=False)
    op.create_table(
        "devices",
        sa.Column("edge_host_id", _ID, nullable=False),
        sa.Column("serial", _ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("name_key", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("product", sa.String(length=200), nullable=False),
        sa.Column("device_type", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("version_key", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=100), nullable=False),
        sa.Column("address_key", sa.String(length=100), nullable=False),
        sa.Column("search", sa.String(length=400), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("epoch", _ID, nullable=False),
        sa.Column("first_seen", _TIME, nullable=True),
        sa.Column("last_seen", _TIME, nullable=True),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["edge_host_id"], ["edge_hosts.id"], name=op.f("fk_devices_edge_host_id_edge_hosts")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_devices_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("edge_host_id", "serial", name=op.f("uq_devices_edge_host_id_serial")),
    )
    op.create_index("ix_devices_address", "devices", ["organization_id", "address_key", "id"], unique=False)
    op.create_index(
        "ix_devices_edge_host", "devices", ["organization_id", "edge_host_id", "name_key", "id"], unique=False
    )
    op.create_index(
        "ix_devices_model", "devices", ["organization_id", "model", "name_key", "id"], unique=False
    )
    op.create_index(
        "ix_devices_name",
        "devices",
        ["organization_id", "name_key", "id", "edge_host_id", "search"],
        unique=False,
    )
    op.create_index("ix_devices_serial", "devices", ["organization_id", "serial", "id"], unique=False)
    op.create_index(
        "ix_devices_state", "devices", ["organization_id", "state", "name_key", "id"], unique=False
    )
    op.create_index(
        "ix_devices_type", "devices", ["organization_id", "device_type", "name_key", "id"], unique=False
    )
    op.create_index(
        "ix_devices_version", "devices", ["organization_id", "version", "name_key", "id"], unique=False
    )
    op.create_index(
        "ix_devices_version_key",
        "devices",
        ["organization_id", "version_key", "name_key", "id"],
        unique=False,
    )
    op.create_table(
        "edge_host_tasks",
        sa.Column("edge_host_id", _ID, nullable=False),
        sa.Column("task", _ID, nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=400), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("detail", sa.String(length=1000), nullable=False),
        sa.Column("retry_of", _ID, nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["edge_host_id"], ["edge_hosts.id"], name=op.f("fk_edge_host_tasks_edge_host_id_edge_hosts")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_edge_host_tasks_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edge_host_tasks")),
        sa.UniqueConstraint("edge_host_id", "task", name=op.f("uq_edge_host_tasks_edge_host_id_task")),
    )
    op.create_index("ix_edge_host_tasks_newest", "edge_host_tasks", ["organization_id", "id"], unique=False)
    op.create_table(
        "edge_images",
        sa.Column("edge_host_id", _ID, nullable=False),
        sa.Column("file", sa.String(length=300), nullable=False),
        sa.Column("image", _ID, nullable=False),
        sa.Column("version", _ID, nullable=False),
        sa.Column("model_key", sa.String(length=200), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["edge_host_id"], ["edge_hosts.id"], name=op.f("fk_edge_images_edge_host_id_edge_hosts")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_edge_images_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edge_images")),
        sa.UniqueConstraint(
            "edge_host_id", "file", "model_key", name=op.f("uq_edge_images_edge_host_id_file_model_key")
        ),
    )
    op.create_index(
        "ix_edge_images_model_key",
        "edge_images",
        ["organization_id", "model_key", "version", "edge_host_id"],
        unique=False,
    )
    op.create_table(
        "model_releases",
        sa.Column("model_key", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("edge_hosts", sa.Integer(), nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_model_releases_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_releases")),
    )
    op.create_index(
        "ix_model_releases_model_key",
        "model_releases",
        ["organization_id", "model_key", "version", "edge_hosts"],
        unique=False,
    )
    op.create_table(
        "tags",
        sa.Column("edge_host_id", _ID, nullable=False),
        sa.Column("serial", _ID, nullable=False),
        sa.Column("thing_id", _ID, nullable=False),
        sa.Column("tag", _ID, nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["edge_host_id"], ["edge_hosts.id"], name=op.f("fk_tags_edge_host_id_edge_hosts")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_tags_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("thing_id", "tag", name=op.f("uq_tags_thing_id_tag")),
    )
    op.create_index("ix_tags_edge_host_id", "tags", ["edge_host_id", "pending"], unique=False)
    op.create_index("ix_tags_tag", "tags", ["organization_id", "tag", "present", "thing_id"], unique=False)
    op.create_table(
        "edge_host_work",
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("device", _ID, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("detail", sa.String(length=1000), nullable=False),
        sa.Column("code", _ID, nullable=True),
        sa.Column("id", _ID, nullable=False),
        sa.Column("organization_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_edge_host_work_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["edge_host_tasks.id"], name=op.f("fk_edge_host_work_task_id_edge_host_tasks")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edge_host_work")),
        sa.UniqueConstraint("task_id", "position", name=op.f("uq_edge_host_work_task_id_position")),
    )
    op.create_index(
        op.f("ix_edge_host_work_organization_id"), "edge_host_work", ["organization_id"], unique=False
    )
    op.add_column("edge_hosts", sa.Column("path", sa.String(length=40), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("edge_hosts", "path")
    op.drop_index(op.f("ix_edge_host_work_organization_id"), table_name="edge_host_work")
    op.drop_table("edge_host_work")
    op.drop_index("ix_tags_tag", table_name="tags")
    op.drop_index("ix_tags_edge_host_id", table_name="tags")
    op.drop_table("tags")
    op.drop_index("ix_model_releases_model_key", table_name="model_releases")
    op.drop_table("model_releases")
    op.drop_index("ix_edge_images_model_key", table_name="edge_images")
    op.drop_table("edge_images")
    op.drop_index("ix_edge_host_tasks_newest", table_name="edge_host_tasks")
    op.drop_table("edge_host_tasks")
    op.drop_index("ix_devices_version_key", table_name="devices")
    op.drop_index("ix_devices_version", table_name="devices")
    op.drop_index("ix_devices_type", table_name="devices")
    op.drop_index("ix_devices_state", table_name="devices")
    op.drop_index("ix_devices_serial", table_name="devices")
    op.drop_index("ix_devices_name", table_name="devices")
    op.drop_index("ix_devices_model", table_name="devices")
    op.drop_index("ix_devices_edge_host", table_name="devices")
    op.drop_index("ix_devices_address", table_name="devices")
    op.drop_table("devices")
    op.drop_index(op.f("ix_saved_views_organization_id"), table_name="saved_views")
    op.drop_index("ix_saved_views_account_id", table_name="saved_views")
    op.drop_table("saved_views")
    op.drop_index(op.f("ix_inventory_positions_organization_id"), table_name="inventory_positions")
    op.drop_table("inventory_positions")
    op.drop_index("ix_inventory_counts_model", table_name="inventory_counts")
    op.drop_index("ix_inventory_counts_place", table_name="inventory_counts")
    op.drop_table("inventory_counts")
    op.drop_table("catalogue_models")
