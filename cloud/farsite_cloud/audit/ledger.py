"""One chain's rows, head and checkpoints: an organization's, or the operator's."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.audit.append import lock_heads
from farsite_cloud.audit.models import AuditChain, AuditCheckpoint, AuditEvent, OperatorEvent
from farsite_cloud.database import Scope
from farsite_cloud.organizations.models import Organization
from farsite_signaling.wire.audit_api import AuditCheckpoint as Signed
from farsite_signaling.wire.audit_api import AuditRow, CheckpointClaims, Purpose
from farsite_signaling.wire.audit_chain import OPERATOR, Link, start

Row = AuditEvent | OperatorEvent


class Ledger:
    """Inside one unit of work."""

    def __init__(self, session: AsyncSession, chain: str) -> None:
        self.session = session
        self.chain = chain
        self.model: type[AuditEvent] | type[OperatorEvent] = (
            OperatorEvent if chain == OPERATOR else AuditEvent
        )

    def select(self) -> Select[Row]:
        if self.model is AuditEvent:
            return Scope(self.session, self.chain).select(AuditEvent)
        return select(OperatorEvent)

    async def rows(self, statement: Select[Row]) -> list[Row]:
        return list((await self.session.scalars(statement)).all())

    async def after(self, seq: int, limit: int) -> list[Row]:
        """The next rows in order."""
        seqs = self.model.seq
        return await self.rows(self.select().where(seqs > seq).order_by(seqs).limit(limit))

    async def unlinked(self, limit: int) -> list[Row]:
        """Rows a release without chains wrote, oldest first."""
        missing = self.select().where(self.model.seq.is_(None)).order_by(self.model.id)
        return await self.rows(missing.limit(limit))

    async def at_place(self, seq: int) -> Row | None:
        return (await self.session.scalars(self.select().where(self.model.seq == seq))).first()

    async def last_before(self, key: str, most: int) -> Row | None:
        """The last row whose id sorts before `key`, up to number `most`."""
        older = self.select().where(self.model.id < key, self.model.seq <= most)
        return (await self.session.scalars(older.order_by(self.model.seq.desc()).limit(1))).first()

    async def remove_up_to(self, seq: int) -> None:
        if self.model is AuditEvent:
            scope = Scope(self.session, self.chain)
            await scope.change(scope.delete(AuditEvent).where(AuditEvent.seq <= seq))
        else:
            await self.session.execute(delete(OperatorEvent).where(OperatorEvent.seq <= seq))

    # head

    async def head(self) -> tuple[Link, Link]:
        """Where the chain ends, and the place behind which rows are kept."""
        statement = select(AuditChain).where(AuditChain.chain == self.chain)
        found = (await self.session.scalars(statement.execution_options(populate_existing=True))).first()
        if found is None:
            return start(self.chain), start(self.chain)
        return Link(found.seq, found.hash), Link(found.floor_seq, found.floor_hash)

    async def lock(self) -> AuditChain:
        return (await lock_heads(self.session, [self.chain]))[self.chain]

    # checkpoints

    async def keep(self, signed: Signed) -> None:
        key = {"chain": signed.chain, "seq": signed.seq, "purpose": signed.purpose.value}
        if await self.session.get(AuditCheckpoint, key) is None:
            row = AuditCheckpoint(**key, hash=signed.hash, at=signed.at, token=signed.token)
            self.session.add(row)

    async def checkpoints(self, before: int | None = None, limit: int = 1000) -> list[AuditCheckpoint]:
        """Newest first."""
        statement = select(AuditCheckpoint).where(AuditCheckpoint.chain == self.chain)
        if before is not None:
            statement = statement.where(AuditCheckpoint.seq < before)
        statement = statement.order_by(AuditCheckpoint.seq.desc(), AuditCheckpoint.purpose).limit(limit)
        return list((await self.session.scalars(statement)).all())

    async def forget_checkpoints_before(self, seq: int) -> None:
        """They say something about rows that are gone."""
        stale = delete(AuditCheckpoint).where(AuditCheckpoint.chain == self.chain, AuditCheckpoint.seq < seq)
        await self.session.execute(stale)


async def all_chains(session: AsyncSession) -> Sequence[str]:
    """Also those of organizations in whose log nothing was chained yet."""
    found = set(await session.scalars(select(AuditChain.chain)))
    return sorted(found | set(await session.scalars(select(Organization.id))))


def claims_of(row: AuditCheckpoint) -> CheckpointClaims:
    return CheckpointClaims(
        chain=row.chain, seq=row.seq, hash=row.hash, at=row.at, purpose=Purpose(row.purpose)
    )


def audit_answer(row: Row) -> AuditRow:
    return AuditRow(
        id=row.id,
        at=row.at,
        actor=row.actor,
        action=row.action,
        target=row.target,
        outcome=row.outcome,
        source=row.source,
        session=row.session,
        details=row.details,
        origin=row.origin,
        origin_id=row.origin_id,
        seq=row.seq,
        hash=row.hash,
    )
