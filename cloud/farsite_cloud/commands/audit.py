"""`farsite cloud audit …`: the logs, verified on the machine that holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from farsite_cloud.audit.keeping import make_checkpoint
from farsite_cloud.audit.ledger import all_chains
from farsite_cloud.audit.verify import verify_chain
from farsite_cloud.clock import system_clock
from farsite_cloud.commands.store import stored
from farsite_cloud.database import Database
from farsite_cloud.settings import CloudSettings
from farsite_cloud.vault import Vault
from farsite_signaling.wire.audit_api import AuditCheckpoint, AuditVerification, Purpose
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_MOST = 64 * 1024


def verify(settings: CloudSettings, chain: str | None, checkpoint: Path | None) -> list[AuditVerification]:
    """Of one log, or of all. Raises `not_found`, `invalid_request`, `signature_invalid`."""
    token = None if checkpoint is None else read_token(checkpoint)
    if token is not None and chain is None:
        detail = "Say of which log the checkpoint is: --organization ID, or --organization operator."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return asyncio.run(_verify(settings, chain, token))


async def _verify(settings: CloudSettings, chain: str | None, token: str | None) -> list[AuditVerification]:
    async with stored(settings) as database:
        chains = await _chains(database, chain)
        return [await verify_chain(database, one, token) for one in chains]


async def _chains(database: Database, chain: str | None) -> Sequence[str]:
    async with database.reading() as session:
        found = await all_chains(session)
    if chain is None:
        return found
    if chain not in found:
        detail = f"There is no log of {chain[:64]!r}. Known: {', '.join(found)[:500] or 'none'}."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    return [chain]


def checkpoint(settings: CloudSettings, chain: str | None) -> list[AuditCheckpoint]:
    """Of one log, or of each."""
    return asyncio.run(_checkpoint(settings, chain))


async def _checkpoint(settings: CloudSettings, chain: str | None) -> list[AuditCheckpoint]:
    vault = Vault.open(settings.data_dir, create=False, given=settings.given_key)
    async with stored(settings) as database:
        now = system_clock()
        chains = await _chains(database, chain)
        return [await make_checkpoint(database, one, Purpose.ASKED, vault, now) for one in chains]


def read_token(path: Path) -> str:
    """Of a file that holds the token alone, or the JSON it was answered in."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST).decode().strip()
    except (OSError, UnicodeDecodeError):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"Cannot read a checkpoint from {path}.") from None
    if not text.startswith("{"):
        return text
    try:
        return AuditCheckpoint.model_validate_json(text).token
    except ValueError:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"There is no checkpoint in {path}.") from None


def as_text(results: Sequence[AuditVerification]) -> str:
    return "\n".join(_line(result) for result in results) or "No logs yet."


def _line(result: AuditVerification) -> str:
    note = f" {result.note}" if result.note else ""
    if result.broken is None:
        compared = f", {result.checkpoints} checkpoints agree" if result.checkpoints else ""
        return f"PASS {result.chain}: rows {result.first} to {result.last}{compared}.{note}"
    return f"FAIL {result.chain}: at row {result.broken.seq}: {result.broken.detail} [{result.broken.kind}]{note}"
