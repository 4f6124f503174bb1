"""Single values: who this edge host is, its claim, what its user switched."""

from __future__ import annotations

from sqlite3 import Connection

from farsite_edge.store.database import Database


class Facts:
    """Read once into memory, written through."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._values: dict[str, str] = {}

    async def load(self) -> None:
        rows = await self._database.fetch("SELECT name, value FROM facts")
        self._values = {row["name"]: row["value"] for row in rows}

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    async def set(self, values: dict[str, str | None]) -> None:
        """All together or not at all; `None` removes."""

        def act(connection: Connection) -> None:
            for name, value in values.items():
                connection.execute("DELETE FROM facts WHERE name = ?", (name,))
                if value is not None:
                    connection.execute("INSERT INTO facts VALUES (?, ?)", (name, value))

        await self._database.write(act)
        for name, value in values.items():
            if value is None:
                self._values.pop(name, None)
            else:
                self._values[name] = value
