"""One export made: a consistent snapshot, table by table, as JSON Lines and CSV."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from farsite_cloud.accounts.factors import accounts_with_factor
from farsite_cloud.database import Scope
from farsite_cloud.database.schema import revision_of
from farsite_cloud.exports.archive import Archive, csv_head, csv_lines, jsonl
from farsite_cloud.exports.models import Export
from farsite_cloud.exports.service import KEPT_FOR, LEASE, Exports
from farsite_cloud.exports.tables import LEFT_OUT, ExportedTable, exported_tables, plain, rows_of
from farsite_cloud.organizations.service import find_organization
from farsite_cloud.services import Services
from farsite_cloud.users.service import Users, member_answer
from farsite_cloud.version import VERSION
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.lifecycle_api import MANIFEST, ExportedFile, ExportManifest, ExportState
from farsite_signaling.wire.people_api import Member

_ORGANIZATION = (
    "id",
    "name",
    "created_at",
    "default_folder_id",
    "invited_start_as_viewers",
    "require_mfa",
    "authority_certificate",
    "grant_public_key",
)
_USERS = tuple(Member.model_fields)
Rows = list[dict[str, Any]]


class Maker:
    """Makes the file of one export that was taken. Raises `conflict` when it is not ours any more."""

    def __init__(self, services: Services, organization_id: str, export_id: str) -> None:
        self._services = services
        self._organization_id = organization_id
        self._export_id = export_id
        self._archive = Archive(services.clock())
        self._files: list[ExportedFile] = []
        self._digest = hashlib.sha256()
        self._size = self._chunks = self._done = self._total = 0

    async def make(self) -> None:
        try:
            await self._make()
        finally:
            self._archive.give_up()

    async def _make(self) -> None:
        now = self._services.clock()
        async with self._services.database.snapshot() as session:
            scope = Scope(session, self._organization_id)
            organization = await find_organization(session, self._organization_id)
            if organization is None:
                raise FarsiteError(ErrorCode.NOT_FOUND, "The organization is gone.")
            described = {name: plain(getattr(organization, name)) for name in _ORGANIZATION}
            tables = exported_tables()
            self._total = sum([await scope.count(scope.select(table.model)) for table in tables])
            await self._file("organization", _ORGANIZATION, _one(described))
            await self._users(scope)
            for table in tables:
                await self._table(scope, table)
        await self._manifest(described, tables, now)
        await self._finish()

    async def _users(self, scope: Scope) -> None:
        await self._file("users", _USERS, _users(scope))

    async def _table(self, scope: Scope, table: ExportedTable) -> None:
        """Read twice from one snapshot: once for each form, so that neither is kept in memory."""
        await self._member(f"{table.name}.jsonl", table.columns, rows_of(scope, table), counted=True)
        await self._member(f"{table.name}.csv", table.columns, rows_of(scope, table))

    async def _file(self, name: str, columns: tuple[str, ...], pages: AsyncIterator[Rows]) -> None:
        """Of what is small."""
        rows = [row async for page in pages for row in page]
        for suffix in ("jsonl", "csv"):
            await self._member(f"{name}.{suffix}", columns, _one(*rows))

    async def _member(
        self, name: str, columns: tuple[str, ...], pages: AsyncIterator[Rows], *, counted: bool = False
    ) -> None:
        as_csv, count = name.endswith(".csv"), 0
        self._archive.begin(name)
        if as_csv:
            self._archive.write(csv_head(columns))
        async for page in pages:
            await asyncio.to_thread(self._archive.write, csv_lines(columns, page) if as_csv else jsonl(page))
            count += len(page)
            self._done += len(page) if counted else 0
            await self._store(name)
        digest = self._archive.end()
        self._files.append(ExportedFile(name=name, rows=count, columns=list(columns), sha256=digest))
        await self._store(name)

    async def _manifest(
        self, organization: dict[str, Any], tables: list[ExportedTable], now: datetime
    ) -> None:
        secret = [f"{table.name}.{column}" for table in tables for column in table.left_out]
        manifest = ExportManifest(
            release=VERSION,
            database_schema=await revision_of(self._services.database) or "",
            organization_id=organization["id"],
            organization_name=organization["name"],
            created_at=now,
            files=self._files,
            left_out=sorted([*LEFT_OUT, *secret, "organization's private keys", "passwords and tokens"]),
        )
        self._archive.begin(MANIFEST)
        self._archive.write(manifest.model_dump_json(indent=2).encode())
        self._archive.end()
        self._archive.close()

    async def _store(self, step: str, *, everything: bool = False) -> None:
        """What is ready, how far it is, and that we are alive."""
        chunks = self._archive.take(everything=everything)
        now = self._services.clock()
        async with self._services.database.writing() as session:
            exports = Exports(Scope(session, self._organization_id))
            export = await self._ours(exports)
            export.step, export.lease_until = step, now + LEASE
            export.rows_done, export.rows_total = self._done, self._total
            for chunk in chunks:
                await exports.add_chunk(self._export_id, self._chunks, chunk, self._services.vault, now)
                self._digest.update(chunk)
                self._size += len(chunk)
                self._chunks += 1

    async def _ours(self, exports: Exports) -> Export:
        export = await exports.get(self._export_id)
        if export.state != ExportState.RUNNING:
            raise FarsiteError(ErrorCode.CONFLICT, "This export was ended by somebody else.")
        return export

    async def _finish(self) -> None:
        await self._store("", everything=True)
        now = self._services.clock()
        async with self._services.database.writing() as session:
            export = await self._ours(Exports(Scope(session, self._organization_id)))
            export.state, export.lease_until = ExportState.DONE, None
            export.finished_at, export.expires_at = now, now + KEPT_FOR
            export.size, export.sha256 = self._size, self._digest.hexdigest()


async def _one(*rows: dict[str, Any]) -> AsyncIterator[Rows]:
    yield list(rows)


async def _users(scope: Scope) -> AsyncIterator[Rows]:
    users, after = Users(scope), None
    while True:
        rows = await users.page(after, 500)
        accounts = [account.id for _, account in rows]
        folders, factors = (
            await users.folders_of(accounts),
            await accounts_with_factor(scope.session, accounts),
        )
        answers = [member_answer(row, folders, factors, managing=True) for row in rows[:500]]
        yield [answer.model_dump(mode="json") for answer in answers]
        if len(rows) <= 500:
            return
        after = rows[499][1].id
