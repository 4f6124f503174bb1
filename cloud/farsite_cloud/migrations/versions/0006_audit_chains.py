"""Audit rows in hash chains, the operator's log, signed checkpoints. Rows there are become the chains' first links."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_ID = sa.String(length=64)
_TIME = sa.DateTime(timezone=True)
_HASH = sa.String(length=64)
_BATCH = 1000
_events = sa.table(
    "audit_events",
    *(
        sa.column(name, kind)
        for name, kind in (
            ("organization_id", sa.String()),
            ("id", sa.String()),
            ("at", _TIME),
            ("actor", sa.String()),
            ("action", sa.String()),
            ("target", sa.String()),
            ("outcome", sa.String()),
            ("source", sa.String()),
            ("session", sa.String()),
            ("details", sa.JSON()),
            ("origin", sa.String()),
            ("origin_id", sa.String()),
            ("seq", sa.BigInteger()),
            ("hash", sa.String()),
        )
    ),
)
_chains = sa.table(
    "audit_chains",
    *(sa.column(name) for name in ("chain", "seq", "hash", "floor_seq", "floor_hash")),
)


def upgrade() -> None:
    op.add_column("audit_events", sa.Column("seq", sa.BigInteger(), nullable=True))
    op.add_column("audit_events", sa.Column("hash", _HASH, nullable=True))
    op.create_index(
        op.f("ix_audit_events_organization_id_seq"), "audit_events", ["organization_id", "seq"], unique=True
    )
    _create_tables()
    _link_rows()


def _create_tables() -> None:
    op.create_table(
        "operator_events",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.String(length=400), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("target", sa.String(length=400), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("session", _ID, nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("origin", _ID, nullable=True),
        sa.Column("origin_id", _ID, nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("hash", _HASH, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_events")),
    )
    op.create_index(op.f("ix_operator_events_seq"), "operator_events", ["seq"], unique=True)
    op.create_table(
        "audit_chains",
        sa.Column("chain", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        sa.Column("floor_seq", sa.BigInteger(), nullable=False),
        sa.Column("floor_hash", _HASH, nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=True),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_chains")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("chain", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", "purpose", name=op.f("pk_audit_checkpoints")),
    )


def _link_rows() -> None:
    """As `wire/audit_chain.py` did when this was written: a migration does not change with the code."""
    connection = op.get_bind()
    organizations = sa.select(_events.c.organization_id).distinct().order_by(_events.c.organization_id)
    for chain in connection.scalars(organizations).all():
        first = last = _digest(f"farsite-audit-v1\0{chain}")
        seq = 0
        for rows in _pages(connection, chain):
            places = []
            for row in rows:
                seq += 1
                last = _link(last, seq, row)
                places.append({"key": row.id, "place": seq, "made": last})
            linked = sa.update(_events).where(_events.c.id == sa.bindparam("key"))
            connection.execute(linked.values(seq=sa.bindparam("place"), hash=sa.bindparam("made")), places)
        values = {"chain": chain, "seq": seq, "hash": last, "floor_seq": 0, "floor_hash": first}
        connection.execute(sa.insert(_chains).values(values))


def _pages(connection: sa.Connection, chain: str) -> Iterator[list[Any]]:
    after = ""
    while True:
        page = sa.select(_events).where(_events.c.organization_id == chain, _events.c.id > after)
        rows = list(connection.execute(page.order_by(_events.c.id).limit(_BATCH)).all())
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _link(previous: str, seq: int, row: Any) -> str:
    covered = [
        seq,
        row.id,
        _utc(row.at).isoformat(timespec="microseconds"),
        row.actor,
        row.action,
        row.target,
        row.outcome,
        row.source,
        row.session,
        row.details,
        row.origin,
        row.origin_id,
    ]
    return _digest(f"{previous}\n{json.dumps(covered, sort_keys=True, separators=(',', ':'))}")


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def downgrade() -> None:
    op.drop_table("audit_checkpoints")
    op.drop_table("audit_chains")
    op.drop_index(op.f("ix_operator_events_seq"), table_name="operator_events")
    op.drop_table("operator_events")
    op.drop_index(op.f("ix_audit_events_organization_id_seq"), table_name="audit_events")
    op.drop_column("audit_events", "hash")
    op.drop_column("audit_events", "seq")
