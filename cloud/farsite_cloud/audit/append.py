"""Appending rows to chains, in one order whoever writes at the same time.

The chain's head is locked for the last moments of a unit of work; chains do not wait for one another. Heads are locked
in the order of their names, after the organizations: foreign keys lock these too, and whoever holds one of them for
longer must not wait for a head meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.audit.entry import Entry
from farsite_cloud.audit.models import AuditChain, AuditEvent, OperatorEvent
from farsite_cloud.database import Scope, at_the_end
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.models import Organization
from farsite_signaling.wire.audit_chain import OPERATOR, link, start

_PENDING = "farsite_audit"


@dataclass
class _Waiting:
    """Entries of one unit of work by chain, each with the id its row will have."""

    chains: dict[str, list[tuple[str, Entry]]] = field(default_factory=dict)


def put(session: AsyncSession, chain: str, entry: Entry, now: datetime) -> None:
    waiting: _Waiting = session.info.setdefault(_PENDING, _Waiting())
    waiting.chains.setdefault(chain, []).append((new_id(now), entry))
    at_the_end(session, _append)


async def _append(session: AsyncSession) -> None:
    waiting: _Waiting = session.info.pop(_PENDING)
    await session.flush()
    heads = await lock_heads(session, list(waiting.chains))
    for chain, entries in waiting.chains.items():
        for row in [row_of(chain, key, entry) for key, entry in await _fresh(session, chain, entries)]:
            extend(session, heads[chain], row)


def row_of(chain: str, key: str, entry: Entry) -> AuditEvent | OperatorEvent:
    model = OperatorEvent if chain == OPERATOR else AuditEvent
    return model(id=key, **entry.values())


def extend(session: AsyncSession, head: AuditChain, row: AuditEvent | OperatorEvent) -> None:
    """Give a row the next place in a chain whose head is locked."""
    head.seq += 1
    row.seq = head.seq
    row.hash = head.hash = link(head.hash, row)
    if isinstance(row, AuditEvent):
        Scope(session, head.chain).add(row)
    else:
        session.add(row)


async def lock_heads(session: AsyncSession, chains: Sequence[str]) -> dict[str, AuditChain]:
    """Made where missing. Locked until the unit of work ends."""
    await _lock_organizations(session, [chain for chain in chains if chain != OPERATOR])
    heads = await _locked(session, chains)
    missing = [chain for chain in sorted(chains) if chain not in heads]
    for chain in missing:
        await _begin(session, chain)
    return heads | (await _locked(session, missing) if missing else {})


async def _lock_organizations(session: AsyncSession, ids: Sequence[str]) -> None:
    # SQLite has one writer at a time anyway.
    if not ids or session.get_bind().dialect.name == "sqlite":
        return
    statement = select(Organization.id).where(Organization.id.in_(ids)).order_by(Organization.id)
    await session.execute(statement.with_for_update(read=True, key_share=True))


async def _locked(session: AsyncSession, chains: Sequence[str]) -> dict[str, AuditChain]:
    statement = select(AuditChain).where(AuditChain.chain.in_(chains)).order_by(AuditChain.chain)
    statement = statement.with_for_update().execution_options(populate_existing=True)
    return {head.chain: head for head in await session.scalars(statement)}


async def _begin(session: AsyncSession, chain: str) -> None:
    """Somebody else may begin it at the same moment: then theirs is used."""
    insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    first = start(chain)
    values = {"chain": chain, "seq": 0, "hash": first.hash, "floor_seq": 0, "floor_hash": first.hash}
    await session.execute(insert(AuditChain).values(values).on_conflict_do_nothing())


async def _fresh(
    session: AsyncSession, chain: str, entries: Sequence[tuple[str, Entry]]
) -> list[tuple[str, Entry]]:
    """Without what an edge host reported before, or twice in one report. Asked for under the head's lock."""
    known = await _known(session, chain, [entry for _, entry in entries if entry.origin is not None])
    fresh = []
    for key, entry in entries:
        name = (entry.origin, entry.origin_id)
        if entry.origin is None or name not in known:
            known.add(name)
            fresh.append((key, entry))
    return fresh


async def _known(
    session: AsyncSession, chain: str, reported: Sequence[Entry]
) -> set[tuple[str | None, str | None]]:
    if not reported:
        return set()
    scope = Scope(session, chain)
    statement = scope.select(AuditEvent).where(
        AuditEvent.origin.in_({entry.origin for entry in reported}),
        AuditEvent.origin_id.in_([entry.origin_id for entry in reported]),
    )
    return {(row.origin, row.origin_id) for row in await scope.all(statement)}
