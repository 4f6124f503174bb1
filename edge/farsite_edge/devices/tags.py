"""Tags of devices and of the edge host itself, set here or in the cloud: of two changes to one tag the later counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from farsite_edge.devices.registry import Registry
from farsite_edge.store import Database
from farsite_edge.store.database import Transaction
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.inventory import MAX_TAGS, TagMark, ThingTags
from farsite_signaling.wire.tags import newer, plain_tag

KEPT_OFF = timedelta(days=90)
"""How long it is remembered that a tag was taken off."""
EDGE_HOST = ""


class Tags:
    """`on_change` is called when there is something new to tell."""

    def __init__(
        self, database: Database, registry: Registry, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._registry = registry
        self.on_change = on_change

    async def of(self, thing: str) -> list[str]:
        sql = "SELECT tag FROM tags WHERE thing = ? AND present = 1 ORDER BY tag"
        return [row["tag"] for row in await self._database.fetch(sql, (thing,))]

    async def change(self, thing: str, add: Iterable[str], remove: Iterable[str]) -> list[str]:
        """The tags it has then. Raises `device_unknown`, `invalid_request`, `conflict` for too many."""
        if thing != EDGE_HOST:
            self._registry.get(thing)
        now = datetime.now(UTC)
        wanted = {plain_tag(tag): False for tag in remove} | {plain_tag(tag): True for tag in add}
        async with self._database.transaction() as transaction:
            known = await _marks(transaction, thing)
            for tag, on in wanted.items():
                if (known[tag].on if tag in known else False) is not on:
                    await _write(transaction, thing, TagMark(tag=tag, on=on, at=_after(known.get(tag), now)))
            rows = await transaction.fetch(_PRESENT, (thing,))
            if len(rows) > MAX_TAGS:
                raise FarsiteError(ErrorCode.INVALID_REQUEST, f"At most {MAX_TAGS} tags on one thing.")
        return await self._show(thing)

    async def _show(self, thing: str) -> list[str]:
        tags = await self.of(thing)
        if thing != EDGE_HOST:
            await self._registry.update(thing, tags=tags)
        self.on_change()
        return tags

    async def take(self, things: Iterable[ThingTags]) -> None:
        """Marks made in the cloud; older ones than are known here change nothing."""
        now, changed = datetime.now(UTC), []
        async with self._database.transaction() as transaction:
            for thing in things:
                name = EDGE_HOST if thing.serial is None else thing.serial
                if name == EDGE_HOST or self._registry.knows(name):
                    changed.append(name)
                known = await _marks(transaction, name)
                for mark in thing.marks:
                    if newer(mark, known.get(mark.tag)):
                        await _write(transaction, name, mark)
                    else:
                        # Said again as it stands: the cloud learns that it is settled.
                        await _write(transaction, name, known[mark.tag])
            sql = "DELETE FROM tags WHERE present = 0 AND at < ?"
            await transaction.execute(sql, ((now - KEPT_OFF).isoformat(),))
        for name in changed:
            await self._show(name)


_PRESENT = "SELECT tag FROM tags WHERE thing = ? AND present = 1 ORDER BY tag"


async def _marks(transaction: Transaction, thing: str) -> Mapping[str, TagMark]:
    rows = await transaction.fetch("SELECT * FROM tags WHERE thing = ?", (thing,))
    return {
        row["tag"]: TagMark(tag=row["tag"], on=bool(row["present"]), at=datetime.fromisoformat(row["at"]))
        for row in rows
    }


async def _write(transaction: Transaction, thing: str, mark: TagMark) -> None:
    sql = "INSERT OR REPLACE INTO tags (thing, tag, present, at) VALUES (?, ?, ?, ?)"
    await transaction.execute(sql, (thing, mark.tag, int(mark.on), mark.at.astimezone(UTC).isoformat()))


def _after(known: TagMark | None, now: datetime) -> datetime:
    """A change made here comes after what is known here, whatever the clocks say."""
    return now if known is None or known.at < now else known.at + timedelta(microseconds=1)
