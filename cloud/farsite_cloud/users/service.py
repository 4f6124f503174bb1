"""Memberships: read, changed, ended. An organization is never without an owner."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.models import Account, AccountKind
from farsite_cloud.database import Scope
from farsite_cloud.folders.models import Folder
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.models import FolderAccess, Membership
from farsite_cloud.views.leaving import forget_views
from farsite_signaling.wire import people_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import EVERY_FOLDER, Role

Row = tuple[Membership, Account]
_WHAT = {AccountKind.PERSON: "user", AccountKind.SERVICE: "service account"}


class Users:
    """Members of the scope's organization: people, or its service accounts."""

    def __init__(self, scope: Scope, kind: AccountKind = AccountKind.PERSON) -> None:
        self._scope = scope
        self._kind = kind
        self._session: AsyncSession = scope.session

    async def page(
        self, after: str | None, limit: int, text: str | None = None, role: Role | None = None
    ) -> list[Row]:
        """One more than `limit`, if there are. `text` is in the address or the name."""
        statement = self._members()
        if text:
            named = Account.name.icontains(text, autoescape=True)
            statement = statement.where(Account.email.icontains(text, autoescape=True) | named)
        if role is not None:
            statement = statement.where(Membership.role == role)
        if after is not None:
            statement = statement.where(Membership.account_id > after)
        rows = await self._session.execute(statement.order_by(Membership.account_id).limit(limit + 1))
        return [(row.Membership, row.Account) for row in rows]

    async def everyone(self) -> list[Row]:
        """People and service accounts, but for those that are disabled."""
        statement = (
            select(Membership, Account)
            .join(Account, Account.id == Membership.account_id)
            .where(Membership.organization_id == self._scope.organization_id, Account.disabled_at.is_(None))
        )
        return [(row.Membership, row.Account) for row in await self._session.execute(statement)]

    async def get(self, account_id: str) -> Row:
        """Raises `not_found`."""
        row = (await self._session.execute(self._members().where(Account.id == account_id))).first()
        if row is None:
            detail = f"There is no {_WHAT[self._kind]} {account_id[:64]!r} in this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        return row.Membership, row.Account

    async def with_addresses(self, emails: Iterable[str]) -> set[str]:
        """Which of these addresses are members'."""
        rows = await self._session.execute(self._members().where(Account.email.in_(list(emails))))
        return {row.Account.email for row in rows}

    def _members(self) -> Select[Membership, Account]:
        return (
            select(Membership, Account)
            .join(Account, Account.id == Membership.account_id)
            .where(Membership.organization_id == self._scope.organization_id, Account.kind == self._kind)
        )

    async def add(
        self, account_id: str, role: Role, folders: Collection[str], *, all_folders: bool, now: datetime
    ) -> None:
        """Raises `conflict` for a member. Folders that are gone are left out."""
        if (await self._session.execute(self._members().where(Account.id == account_id))).first() is not None:
            raise FarsiteError(ErrorCode.CONFLICT, "You are a member of this organization already.")
        member = Membership(
            organization_id=self._scope.organization_id,
            account_id=account_id,
            role=role,
            all_folders=all_folders or role in EVERY_FOLDER,
            created_at=now,
        )
        self._session.add(member)
        await self._session.flush()
        if not member.all_folders:
            await self._give(account_id, await known_folders(self._scope, folders), now)

    async def set_role(self, member: Membership, role: Role) -> None:
        member.role = role
        if role in EVERY_FOLDER:
            await self.set_folders(member, [], all_folders=True, now=member.created_at)

    async def set_folders(
        self, member: Membership, folders: Collection[str], *, all_folders: bool, now: datetime
    ) -> None:
        """Raises `not_found` for an unknown folder."""
        await self._take_folders(member.account_id)
        member.all_folders = all_folders
        if not all_folders:
            await check_folders(self._scope, folders)
            await self._give(member.account_id, folders, now)

    async def _give(self, account_id: str, folders: Collection[str], now: datetime) -> None:
        for folder_id in sorted(set(folders)):
            self._scope.add(FolderAccess(id=new_id(now), account_id=account_id, folder_id=folder_id))

    async def _take_folders(self, account_id: str) -> None:
        gone = self._scope.delete(FolderAccess).where(FolderAccess.account_id == account_id)
        await self._scope.change(gone)

    async def remove(self, member: Membership) -> None:
        await self._take_folders(member.account_id)
        await forget_views(self._scope, member.account_id)
        await self._session.execute(
            delete(Membership).where(
                Membership.organization_id == member.organization_id,
                Membership.account_id == member.account_id,
            )
        )

    async def check_owned(self) -> None:
        """Called after a change, inside its transaction. Raises `conflict` when no owner would be left."""
        await self._session.flush()
        owners = select(func.count()).where(
            Membership.organization_id == self._scope.organization_id, Membership.role == Role.OWNER
        )
        if not await self._session.scalar(owners):
            detail = "An organization needs an owner: make somebody else one first."
            raise FarsiteError(ErrorCode.CONFLICT, detail)

    async def folders_of(self, account_ids: Collection[str]) -> dict[str, list[str]]:
        """Folder ids by account, of those that have a choice of folders."""
        found: dict[str, list[str]] = {}
        rows = self._scope.select(FolderAccess).where(FolderAccess.account_id.in_(list(account_ids)))
        for row in await self._scope.all(rows.order_by(FolderAccess.folder_id)):
            found.setdefault(row.account_id, []).append(row.folder_id)
        return found


async def known_folders(scope: Scope, folders: Collection[str]) -> list[str]:
    rows = await scope.all(scope.select(Folder).where(Folder.id.in_(list(folders))))
    return [folder.id for folder in rows]


async def check_folders(scope: Scope, folders: Collection[str]) -> None:
    """Raises `not_found`."""
    missing = set(folders) - set(await known_folders(scope, folders))
    if missing:
        detail = f"There is no folder {min(missing)[:64]!r} in this organization."
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)


def check_choice(role: Role, folders: Collection[str] | None, all_folders: bool | None) -> None:
    """Operators and viewers are let into folders by choice, never by leaving it out. Raises `invalid_request`."""
    if role in EVERY_FOLDER:
        if folders or all_folders is False:
            detail = f"The role {role} reaches every folder: leave the folders out."
            raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    elif bool(folders) == bool(all_folders):
        detail = f"Say which folders the {role} reaches: folder_ids, or all_folders for every one."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)


def member_answer(
    row: Row, folders: dict[str, list[str]], factors: set[str], *, managing: bool
) -> wire.Member:
    """Folders and second factors are shown to those who manage users."""
    member, account = row
    shown = None if member.all_folders or not managing else folders.get(account.id, [])
    return wire.Member(
        account_id=account.id,
        email=account.email,
        name=account.name,
        role=Role(member.role),
        folder_ids=shown,
        mfa=account.id in factors if managing else None,
        since=member.created_at,
    )
