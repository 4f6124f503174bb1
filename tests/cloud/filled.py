"""A cloud's data as use makes it, and a row in every table beside it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.models import metadata
from farsite_signaling.wire.rights import Role
from tests.cloud.conftest import World
from tests.cloud.test_inventory_ingest import connected, facts
from tests.cloud.test_passkeys import PASSWORD, Authenticator

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
WORDS = "Größe 倉庫 👩‍🔧 \x7f 'quoted' \\ %s"


async def fill(world: World) -> None:
    """Through the API and the hub alone."""
    owner = world.owner
    below = await world.folder("Below", parent=await world.folder("Above 倉庫"))
    await world.folder("First in order, deepest in the tree", parent=below)
    await world.service(Role.OPERATOR, [below])
    await world.supporter(Role.VIEWER, [below])
    await world.client()
    site = await connected(world, "Site")
    await site.tell(facts("B8A44F000001"), facts("B8A44F000002", name=WORDS[:20]))
    await world.setup_code(name="Later")
    invitation = {"emails": ["new@example.com"], "role": "viewer", "all_folders": True}
    for path, body in [
        ("~/invitations", invitation),
        ("/me/tokens", {"name": "script", "scopes": ["edge.read"]}),
        ("~/webhooks", {"name": "Hook", "url": "https://example.com/hook"}),
        ("~/policy-templates", {"name": "Branch", "kind": "security", "settings": {"ssh": False}}),
        ("~/views", {"name": "Old ones"}),
        ("~/campaigns", {"kind": "os.upgrade", "selection": {"models": ["P3265-LV"]}}),
        ("~/exports", None),
        ("/me/mfa/secret", PASSWORD),
    ]:
        await owner.ok("POST", path, body)
    options = (await owner.ok("POST", "/me/passkeys/options", PASSWORD))["public_key"]
    passkey = {"name": "Key", "credential": Authenticator().create(options)}
    await owner.ok("POST", "/me/passkeys", passkey)


class Generated:
    """Rows made of the columns alone: each with what a database may keep differently than another."""

    def __init__(self) -> None:
        self._made = 0
        self._keys: dict[tuple[str, str], Any] = {}

    async def add(self, session: AsyncSession) -> None:
        """Two into every table: all columns set, and all empty that may be."""
        for empty in (False, True):
            self._made += 1
            for table in metadata.sorted_tables:
                row = {column.name: self._value(column, empty) for column in table.columns}
                await session.execute(sa.insert(table).values(row))
                self._keys |= {(table.name, name): value for name, value in row.items()}

    def _value(self, column: sa.Column[Any], empty: bool) -> Any:
        if empty and column.nullable:
            return sa.null()
        for foreign in column.foreign_keys:
            if foreign.column.table is column.table:
                return sa.null()
            return self._keys[foreign.column.table.name, foreign.column.name]
        return self._of_kind(column)

    def _of_kind(self, column: sa.Column[Any]) -> Any:
        kind, number = column.type, self._made
        if isinstance(kind, sa.Boolean):
            return number % 2 == 1
        if isinstance(kind, sa.BigInteger):
            return 2**62 + number
        if isinstance(kind, sa.Integer):
            return 2**31 - 1 - number
        if isinstance(kind, sa.Float):
            return 0.1 + number
        if isinstance(kind, sa.Date):
            return date(2026, 2, 28) + timedelta(days=number)
        if isinstance(kind, sa.JSON):
            return {"z": [None, 1.5, True, WORDS], "a": 2**60, "n": number}
        if isinstance(kind, sa.LargeBinary):
            return bytes(range(256)) + b"%d" % number
        if isinstance(kind, sa.String):
            return f"!{number} {WORDS}"[: kind.length]  # sorts before real ids
        return START + timedelta(microseconds=number)


async def everything(session: AsyncSession) -> dict[str, list[tuple[Any, ...]]]:
    """By table, in an order that is the same wherever. JSON as it is written: empty is not JSON's null."""
    found = {}
    for table in metadata.sorted_tables:
        columns = [sa.cast(c, sa.Text) if isinstance(c.type, sa.JSON) else c for c in table.columns]
        rows = [tuple(row) for row in await session.execute(sa.select(*columns))]
        found[table.name] = sorted(rows, key=repr)
    return found
