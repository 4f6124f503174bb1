"""Verifying a chain: every row recomputed, every signed checkpoint compared."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.audit.ledger import Ledger, claims_of
from farsite_cloud.audit.models import AuditCheckpoint
from farsite_cloud.audit.signing import public_key
from farsite_signaling.identity.checkpoints import verify_checkpoint
from farsite_signaling.identity.keys import PublicKey
from farsite_signaling.wire.audit_api import AuditBreak, AuditVerification, CheckpointClaims, Purpose
from farsite_signaling.wire.audit_chain import Break, BreakKind, ChainCheck, Link
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_PAGE = 500
_MOST_CHECKPOINTS = 10_000
_ATTEMPTS = 3


class Readable(Protocol):
    """A `Database`, or one unit of work on it."""

    def reading(self) -> AbstractAsyncContextManager[AsyncSession]: ...


async def verify_chain(database: Readable, chain: str, checkpoint: str | None = None) -> AuditVerification:
    """`checkpoint`: token of an earlier one, kept elsewhere. Raises `signature_invalid` for one that is not this log's.

    Page by page, each in its own transaction, so that appending goes on meanwhile.
    """
    for attempt in range(_ATTEMPTS):
        run = _Run(database, chain)
        result = await run.verify(checkpoint)
        # Old rows may be removed while we read: then what we began behind is gone.
        if result.ok or attempt + 1 == _ATTEMPTS or not await run.floor_moved():
            return result
    raise AssertionError("the last attempt returns")


class _Run:
    def __init__(self, database: Readable, chain: str) -> None:
        self._database = database
        self._chain = chain
        self._compared = 0
        self._notes: list[str] = []

    async def verify(self, checkpoint: str | None) -> AuditVerification:
        async with self._database.reading() as session:
            ledger = Ledger(session, self._chain)
            self._head, self._floor = await ledger.head()
            kept = await ledger.checkpoints(limit=_MOST_CHECKPOINTS)
            key = await public_key(ledger) if kept or checkpoint else None
        check = ChainCheck(self._floor)
        given = None if checkpoint is None else self._given(checkpoint, key)
        check.broken = self._judge_kept(check, kept, key)
        if given is not None and check.broken is None:
            self._expect(check, given)
        await self._read(check)
        return self._answer(check, check.finish(self._head))

    async def floor_moved(self) -> bool:
        async with self._database.reading() as session:
            return (await Ledger(session, self._chain).head())[1] != self._floor

    def _given(self, token: str, key: PublicKey | None) -> CheckpointClaims:
        if key is None:
            detail = "This log has no key that could have signed the checkpoint."
            raise FarsiteError(ErrorCode.SIGNATURE_INVALID, detail)
        return verify_checkpoint(token, key, self._chain)

    def _judge_kept(
        self, check: ChainCheck, kept: list[AuditCheckpoint], key: PublicKey | None
    ) -> Break | None:
        floor_signed = self._floor.seq == 0
        for row in kept:
            claims = self._signed(row, key)
            if claims is None:
                detail = f"The checkpoint kept for row {row.seq} is not signed by this log's authority."
                return Break(row.seq, BreakKind.CHECKPOINT_INVALID, detail)
            if claims.seq >= self._floor.seq:
                self._expect(check, claims)
            floor_signed |= claims.purpose is Purpose.RETENTION and _place(claims) == self._floor
        if check.broken is None and not floor_signed:
            detail = (
                f"Rows up to {self._floor.seq} are gone, and no signed checkpoint says that they were let go."
            )
            return Break(self._floor.seq, BreakKind.MISSING, detail)
        return check.broken

    def _signed(self, row: AuditCheckpoint, key: PublicKey | None) -> CheckpointClaims | None:
        try:
            claims = None if key is None else verify_checkpoint(row.token, key, self._chain)
        except FarsiteError:
            return None
        return claims if claims == claims_of(row) else None

    def _expect(self, check: ChainCheck, claims: CheckpointClaims) -> None:
        if claims.seq < self._floor.seq:
            self._notes.append(
                f"The checkpoint given is of row {claims.seq}; rows up to {self._floor.seq} are not kept any more."
            )
            return
        self._compared += 1
        check.expect(_place(claims))

    async def _read(self, check: ChainCheck) -> None:
        while check.broken is None and check.last.seq < self._head.seq:
            async with self._database.reading() as session:
                rows = await Ledger(session, self._chain).after(check.last.seq, _PAGE)
            if not all(check.take(row) for row in rows if (row.seq or 0) <= self._head.seq) or not rows:
                return
            if (rows[-1].seq or 0) > self._head.seq:
                return

    def _answer(self, check: ChainCheck, broken: Break | None) -> AuditVerification:
        shown = None if broken is None else AuditBreak(seq=broken.seq, kind=broken.kind, detail=broken.detail)
        return AuditVerification(
            chain=self._chain,
            ok=broken is None,
            first=self._floor.seq + 1,
            last=self._head.seq,
            rows=check.rows,
            hash=check.last.hash,
            checkpoints=self._compared,
            broken=shown,
            note=" ".join(self._notes),
        )


def _place(claims: CheckpointClaims) -> Link:
    return Link(claims.seq, claims.hash)
