"""Every table into an empty database, and the proof that it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.audit.ledger import all_chains
from farsite_cloud.audit.verify import verify_chain
from farsite_cloud.database.failures import STORAGE
from farsite_cloud.database.moved import is_moved
from farsite_cloud.database.schema import prepare
from farsite_cloud.database.sqlite import FILE
from farsite_cloud.models import metadata
from farsite_cloud.moving.tables import Sum, TableRows
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


@dataclass(frozen=True)
class Step:
    """`what`: "count", "copy", "verify" or "audit". `done` of `rows`, in this table or log."""

    what: str
    name: str
    done: int
    rows: int


Tell = Callable[[Step], None]


@dataclass(frozen=True)
class Carried:
    tables: dict[str, int]
    logs: int
    broken: list[str]
    """Logs whose chain was broken before."""


class Inside:
    """What is read of a database in a unit of work, for those who would open one of their own."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        yield self._session


async def carry(source: AsyncSession, target: AsyncSession, tell: Tell) -> Carried:
    """Raises `conflict` when the target holds rows, or does not take some; `storage_failed` when it has others then."""
    tables = [TableRows(table) for table in metadata.sorted_tables]
    if await is_moved(target):
        raise _taken(target, "what was once moved away from it")
    await prepare(target)
    await _require_empty(target, tables)
    counts = {table.table.name: await table.count(source) for table in tables}
    tell(Step("count", "", 0, sum(counts.values())))
    sums = [await _copy(table, source, target, counts[table.table.name], tell) for table in tables]
    for table, expected in zip(tables, sums, strict=True):
        await _compare(table, target, counts[table.table.name], expected)
        tell(Step("verify", table.table.name, expected.rows, expected.rows))
    logs, broken = await _verify_logs(source, target, tell)
    return Carried(counts, logs, broken)


async def _require_empty(target: AsyncSession, tables: list[TableRows]) -> None:
    found = {one.table.name: count for one in tables if (count := await one.count(target))}
    if found:
        told = ", ".join(f"{name} {count}" for name, count in list(found.items())[:5])
        raise _taken(target, f"data already (rows: {told}), perhaps of another cloud")


def _taken(target: AsyncSession, what: str) -> FarsiteError:
    is_file = target.get_bind().dialect.name == "sqlite"
    fix = (
        f"Move {FILE} and the files beside it out of the data folder" if is_file else "Name an empty database"
    )
    return FarsiteError(ErrorCode.CONFLICT, f"The target holds {what}. {fix}, and try again.")


async def _copy(table: TableRows, source: AsyncSession, target: AsyncSession, rows: int, tell: Tell) -> Sum:
    name, total = table.table.name, Sum()
    tell(Step("copy", name, 0, rows))
    async for page in table.pages(source):
        await table.add(target, page)
        total += page.sum
        tell(Step("copy", name, total.rows, rows))
    return total


async def _compare(table: TableRows, target: AsyncSession, rows: int, expected: Sum) -> None:
    found = await table.sum(target)
    if found == expected and found.rows == rows:
        return
    detail = (
        f"{table.table.name} has {rows} rows; {found.rows} arrived, or not as they were. Nothing was moved: "
        "the source is as it was. Check it with farsite cloud doctor, and report this."
    )
    raise FarsiteError(ErrorCode.STORAGE_FAILED, detail)


async def _verify_logs(source: AsyncSession, target: AsyncSession, tell: Tell) -> tuple[int, list[str]]:
    """How many, and which of them are no worse than they were."""
    chains, broken = await all_chains(target), []
    for number, chain in enumerate(chains, 1):
        found = await _break(target, chain)
        if found is not None:
            if await _break(source, chain) != found:
                detail = f"The audit log of {chain} does not verify at the target. Nothing was moved."
                raise FarsiteError(ErrorCode.STORAGE_FAILED, detail)
            broken.append(chain)
        tell(Step("audit", chain, number, len(chains)))
    return len(chains), broken


async def _break(session: AsyncSession, chain: str) -> str | None:
    """What is wrong with a log: where it breaks, or that its authority cannot be read."""
    try:
        broken = (await verify_chain(Inside(session), chain)).broken
    except FarsiteError as error:
        if error.code in STORAGE:
            raise
        return error.detail
    return None if broken is None else broken.model_dump_json()
