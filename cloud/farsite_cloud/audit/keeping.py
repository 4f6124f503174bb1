"""What is done to logs from time to time: unlinked rows taken in, a checkpoint a day, old rows let go."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from farsite_cloud.audit.append import extend
from farsite_cloud.audit.ledger import Ledger, all_chains
from farsite_cloud.audit.log import Act, write
from farsite_cloud.audit.signing import sign_place
from farsite_cloud.clock import Clock
from farsite_cloud.database import Database
from farsite_cloud.ids import first_id
from farsite_cloud.vault import Vault
from farsite_signaling.wire.audit_api import AuditCheckpoint, Purpose
from farsite_signaling.wire.audit_chain import OPERATOR, Link
from farsite_signaling.wire.errors import FarsiteError

logger = logging.getLogger(__name__)
CHECKPOINT_EVERY = timedelta(days=1)
_BATCH = 1000
_ACTOR = "cloud"


class AuditKeeping:
    """`retention_days` 0: rows are kept for ever. Any number of processes may do this at the same time."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, retention_days: int) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._retention = timedelta(days=retention_days) if retention_days else None

    async def run(self) -> None:
        async with self._database.reading() as session:
            chains = await all_chains(session)
        for chain in chains:
            try:
                await self._keep(chain)
            except FarsiteError as error:
                logger.error("audit log of %s: %s", chain, error)

    async def _keep(self, chain: str) -> None:
        await self.adopt(chain)
        await self._checkpoint(chain)
        if self._retention is not None:
            await self.trim(chain, self._clock() - self._retention)

    async def adopt(self, chain: str) -> int:
        """Rows without a place, written by an older release beside this one, get the next ones."""
        adopted = 0
        while True:
            async with self._database.writing() as session:
                ledger = Ledger(session, chain)
                if not await ledger.unlinked(1):
                    break
                head = await ledger.lock()
                rows = await ledger.unlinked(_BATCH)
                for row in rows:
                    extend(session, head, row)
                adopted += len(rows)
                self._note(ledger, "audit.adopted", f"{len(rows)} rows", {"last": head.seq})
        return adopted

    async def _checkpoint(self, chain: str) -> None:
        now = self._clock()
        async with self._database.reading() as session:
            ledger = Ledger(session, chain)
            newest = await ledger.checkpoints(limit=1)
            head, _ = await ledger.head()
        if newest and (newest[0].seq == head.seq or now - newest[0].at < CHECKPOINT_EVERY):
            return
        if head.seq:
            await make_checkpoint(self._database, chain, Purpose.DAILY, self._vault, now)

    async def trim(self, chain: str, before: datetime) -> int:
        """Let go of rows written before a time; a signed checkpoint says where the log begins from then on."""
        gone = 0
        while True:
            async with self._database.writing() as session:
                ledger = Ledger(session, chain)
                head = await ledger.lock()
                row = await ledger.last_before(first_id(before), head.floor_seq + _BATCH)
                if row is None or row.seq is None or row.hash is None or row.seq <= head.floor_seq:
                    return gone
                place, count = Link(row.seq, row.hash), row.seq - head.floor_seq
                await sign_place(ledger, head, place, Purpose.RETENTION, self._vault, self._clock())
                await ledger.remove_up_to(place.seq)
                await ledger.forget_checkpoints_before(place.seq)
                head.floor_seq, head.floor_hash = place.seq, place.hash
                gone += count
                self._note(ledger, "audit.trimmed", f"rows up to {place.seq}", {"rows": count})

    def _note(self, ledger: Ledger, action: str, target: str, details: dict[str, object]) -> None:
        organizations = [] if ledger.chain == OPERATOR else [ledger.chain]
        act = Act(action, _ACTOR, "", organizations, target, details=details)
        write(ledger.session, act, self._clock())


async def make_checkpoint(
    database: Database, chain: str, purpose: Purpose, vault: Vault, now: datetime
) -> AuditCheckpoint:
    """Of the last row there is now."""
    async with database.writing() as session:
        return await checkpoint_here(Ledger(session, chain), purpose, vault, now)


async def checkpoint_here(ledger: Ledger, purpose: Purpose, vault: Vault, now: datetime) -> AuditCheckpoint:
    head = await ledger.lock()
    return await sign_place(ledger, head, Link(head.seq, head.hash), purpose, vault, now)
