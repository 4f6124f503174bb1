"""Moving a cloud between SQLite and PostgreSQL: one unit of work at each end, the target's committed first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.clock import Clock, system_clock
from farsite_cloud.database import Database
from farsite_cloud.database.moved import mark_moved
from farsite_cloud.database.opening import database_exists, described, open_database
from farsite_cloud.database.schema import require_current, wait_turn
from farsite_cloud.database.sqlite import FILE
from farsite_cloud.datadir import own_folder
from farsite_cloud.moving.carrying import Carried, Tell, carry
from farsite_cloud.moving.quiet import hold_still, others_at, take_time
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.service import any_organization
from farsite_cloud.settings import SCHEMES, CloudSettings
from farsite_cloud.vault import KEY_FILE, Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SQLITE = "sqlite"


@dataclass(frozen=True)
class Moved:
    """`next`: the setting to change. `notes`: what else is to be known. `committed` is false of a rehearsal."""

    source: str
    target: str
    committed: bool
    revision: str
    tables: dict[str, int]
    logs: int
    seconds: float
    next: str
    key: str
    notes: list[str] = field(default_factory=list)


class _Rehearsed(Exception):
    """Takes back what was only tried."""


def target_of(settings: CloudSettings, to: str) -> CloudSettings:
    """Raises `invalid_request` for what is no database, `conflict` for the kind that the cloud has."""
    postgresql = to.startswith(SCHEMES["database"])
    if not postgresql and to != SQLITE:
        detail = f"The target is {SQLITE}, or an address that begins with postgresql://."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    if postgresql and settings.database is not None:
        detail = "This cloud is on PostgreSQL: from one server to another pg_dump and pg_restore take it."
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    if not postgresql and settings.database is None:
        raise FarsiteError(ErrorCode.CONFLICT, f"This cloud is on SQLite already: {described(settings)}.")
    return settings.model_copy(update={"database": SecretStr(to) if postgresql else None})


class Move:
    """`rehearsal`: everything is done and taken back; the cloud may run meanwhile."""

    def __init__(
        self, settings: CloudSettings, to: str, *, rehearsal: bool, tell: Tell, clock: Clock = system_clock
    ) -> None:
        self._settings = settings
        self._into = target_of(settings, to)
        self._rehearsal = rehearsal
        self._tell = tell
        self._clock = clock
        self._notes: list[str] = []

    async def run(self) -> Moved:
        if not database_exists(self._settings):
            detail = f"There is no cloud in {self._settings.data_dir}. Name its folder with --data-dir."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        began, done = monotonic(), None
        try:
            async with AsyncExitStack() as stack:
                self._hold_folder(stack)
                source = await self._open(stack, self._settings)
                reading = await stack.enter_async_context(self._source(source))
                done = await self._fill(reading)
                if not self._rehearsal:
                    await mark_moved(reading, described(self._into), self._next, self._clock())
        except FarsiteError:
            if done is None:
                raise
            # The target is whole: what is left to say is that the source does not know.
            self._notes.append(
                f"{described(self._settings)} could not be marked as moved: nothing keeps a cloud from starting on it."
            )
        return replace(done, seconds=round(monotonic() - began, 3))

    def _hold_folder(self, stack: AsyncExitStack) -> None:
        """No cloud of this data folder starts meanwhile, on whatever database."""
        try:
            stack.enter_context(own_folder(self._settings.data_dir))
        except FarsiteError as error:
            if not self._rehearsal:
                raise
            self._notes.append(error.detail)

    async def _open(self, stack: AsyncExitStack, settings: CloudSettings) -> Database:
        database = open_database(settings)
        stack.push_async_callback(database.aclose)
        return database

    @asynccontextmanager
    async def _source(self, database: Database) -> AsyncIterator[AsyncSession]:
        if self._rehearsal:
            async with database.snapshot() as session:
                await take_time(session)
                self._note(await others_at(session, "former"))
                await self._check(session)
                yield session
            return
        async with database.writing(patient=True) as session:
            await wait_turn(session)
            await take_time(session)
            self._note(await others_at(session, "former"))
            await self._check(session)
            await hold_still(session)
            yield session

    def _note(self, problem: str | None) -> None:
        """What a rehearsal only tells."""
        if problem is not None and not self._rehearsal:
            raise FarsiteError(ErrorCode.CONFLICT, problem)
        self._notes += [] if problem is None else [problem]

    async def _check(self, session: AsyncSession) -> None:
        """Before hours are spent: the schema is ours, and so is the key that belongs to it."""
        self._revision = await require_current(session)
        vault = Vault.open(self._settings.data_dir, create=False, given=self._settings.given_key)
        organization = await any_organization(session)
        if organization is not None:
            OrganizationKeys(organization, vault).check()

    async def _fill(self, reading: AsyncSession) -> Moved:
        with self._left_as_it_was(), suppress(_Rehearsed):
            async with AsyncExitStack() as stack:
                target = await self._open(stack, self._into)
                writing = await stack.enter_async_context(target.writing(patient=True))
                await wait_turn(writing)
                await take_time(writing)
                if problem := await others_at(writing, "target"):
                    raise FarsiteError(ErrorCode.CONFLICT, problem)
                carried = await carry(reading, writing, self._tell)
                if self._rehearsal:
                    raise _Rehearsed
        return self._result(carried)

    @contextmanager
    def _left_as_it_was(self) -> Iterator[None]:
        """A file that was made for nothing would be taken for a cloud."""
        file = self._into.data_dir / FILE
        made = self._into.database is None and not file.exists()
        kept = False
        try:
            yield
            kept = not self._rehearsal
        finally:
            if made and not kept:
                for path in (file, *_beside(file)):
                    path.unlink(missing_ok=True)

    @property
    def _next(self) -> str:
        if self._into.database is None:
            return "take the setting database (FARSITE_DATABASE) away"
        return "set database (FARSITE_DATABASE) to it"

    def _result(self, carried: Carried) -> Moved:
        key = self._settings.data_dir / KEY_FILE
        for chain in carried.broken:
            self._notes.append(f"The audit log of {chain} did not verify before, and does not now.")
        return Moved(
            source=described(self._settings),
            target=described(self._into),
            committed=not self._rehearsal,
            revision=self._revision,
            tables=carried.tables,
            logs=carried.logs,
            seconds=0,
            next=self._next,
            key="the setting master_key" if self._settings.given_key else str(key),
            notes=self._notes,
        )


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.name + end) for end in ("-wal", "-shm")]
