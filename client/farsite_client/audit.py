"""The cloud's REST API about the audit log, for `CloudClient`; and verifying an exported log without the cloud."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from pydantic import ValidationError

from farsite_client.calls import CloudCalls, organization_path, query_of
from farsite_signaling.wire.audit_api import (
    AuditBreak,
    AuditCheckpoint,
    AuditCheckpoints,
    AuditExportQuery,
    AuditFilter,
    AuditList,
    AuditQuery,
    AuditRow,
    AuditVerification,
    CheckpointClaims,
    ExportFormat,
)
from farsite_signaling.wire.audit_chain import ChainCheck, Link, start
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class AuditCalls(CloudCalls):
    def audit(
        self, organization: str, wanted: AuditFilter | None = None, *, page_size: int = 100
    ) -> AsyncIterator[AuditRow]:
        """Newest first."""
        given = {} if wanted is None else wanted.model_dump(exclude_none=True)
        query = query_of(AuditQuery(**given, limit=page_size))
        return self._each(_log(organization), AuditList, lambda page: page.rows, page_size, **query)

    def audit_export(
        self,
        organization: str,
        wanted: AuditFilter | None = None,
        *,
        format: ExportFormat = ExportFormat.JSONL,
    ) -> AsyncIterator[bytes]:
        """Oldest first, as long as it is, piece by piece."""
        given = {} if wanted is None else wanted.model_dump(exclude_none=True)
        query = AuditExportQuery(**given, format=format)
        return self._download(f"{_log(organization)}/export", query_of(query))

    async def verify_audit(self, organization: str, checkpoint: str | None = None) -> AuditVerification:
        """Let the cloud recompute the chain. `checkpoint`: token of an earlier one. Raises `signature_invalid`."""
        query = {} if checkpoint is None else {"checkpoint": checkpoint}
        path = f"{_log(organization)}/verification"
        return await self._ask("GET", path, AuditVerification, query=query)

    async def audit_checkpoint(self, organization: str) -> AuditCheckpoint:
        """Where the log stands now, signed. Keep it: a log rewritten later does not fit it."""
        return await self._ask("POST", f"{_log(organization)}/checkpoints", AuditCheckpoint)

    def audit_checkpoints(self, organization: str, *, page_size: int = 100) -> AsyncIterator[AuditCheckpoint]:
        """Those the cloud keeps, newest first."""
        path = f"{_log(organization)}/checkpoints"
        return self._each(path, AuditCheckpoints, lambda page: page.checkpoints, page_size)


def verify_export(
    lines: Iterable[str], organization: str, checkpoint: CheckpointClaims | None = None
) -> AuditVerification:
    """Of an unfiltered export (JSON Lines). Raises `invalid_request` for another file."""
    check, first = ChainCheck(start(organization)), 1
    for row in _rows(lines):
        if check.rows == 0 and check.broken is None and row.seq != 1:
            # Older rows were let go: what comes before the first one here cannot be known.
            check, first = ChainCheck(Link(row.seq or 0, row.hash or "")), (row.seq or 0) + 1
            _expect(check, checkpoint)
            continue
        if row.seq == 1:
            _expect(check, checkpoint)
        if not check.take(row):
            break
    return _result(check, first, organization, checkpoint)


def _expect(check: ChainCheck, checkpoint: CheckpointClaims | None) -> None:
    if checkpoint is not None and checkpoint.seq >= check.last.seq:
        check.expect(Link(checkpoint.seq, checkpoint.hash))


def _rows(lines: Iterable[str]) -> Iterable[AuditRow]:
    for number, line in enumerate(lines, 1):
        try:
            yield AuditRow.model_validate_json(line)
        except ValidationError:
            detail = f"Line {number} is no row of an audit log exported as JSON Lines."
            raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None


def _result(
    check: ChainCheck, first: int, organization: str, checkpoint: CheckpointClaims | None
) -> AuditVerification:
    broken = check.finish(check.last)
    compared = checkpoint is not None and checkpoint.seq >= first - 1
    return AuditVerification(
        chain=organization,
        ok=broken is None,
        first=first,
        last=check.last.seq,
        rows=check.rows,
        hash=check.last.hash,
        checkpoints=int(compared),
        broken=None if broken is None else AuditBreak(seq=broken.seq, kind=broken.kind, detail=broken.detail),
    )


def _log(organization: str) -> str:
    return f"{organization_path(organization)}/audit"
