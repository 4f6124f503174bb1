"""Service accounts: rows of accounts with a membership, without a password or an address."""

from __future__ import annotations

from datetime import datetime

from farsite_cloud.accounts.models import Account, AccountKind
from farsite_cloud.accounts.tokens import live_tokens, revoke_all
from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.users.service import Row, Users
from farsite_signaling.wire import access_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Role

MOST = 200
# No password hash has this form: nothing matches it.
NO_PASSWORD = "none"


def actor_name(name: str, organization_id: str) -> str:
    """What stands where people have their address. No address looks like it, so nobody can sign up as a program."""
    return f"service:{name}@{organization_id}"


class ServiceAccounts:
    """Those of the scope's organization."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.users = Users(scope, AccountKind.SERVICE)

    async def create(self, body: wire.ServiceAccountRequest, now: datetime) -> Row:
        """Raises `conflict` for a name that is there, `not_found` for a folder that is not."""
        if len(await self.users.page(None, MOST)) >= MOST:
            raise FarsiteError(ErrorCode.CONFLICT, f"An organization has at most {MOST} service accounts.")
        await self.check_free(body.name)
        account = Account(
            id=new_id(now),
            email=actor_name(body.name, self._scope.organization_id),
            name=body.name,
            password_hash=NO_PASSWORD,
            created_at=now,
            kind=AccountKind.SERVICE,
            organization_id=self._scope.organization_id,
            description=body.description,
        )
        self._scope.session.add(account)
        await self._scope.session.flush()
        await self.users.add(account.id, body.role, body.folder_ids, all_folders=body.all_folders, now=now)
        return await self.users.get(account.id)

    async def check_free(self, name: str) -> None:
        if await self.users.with_addresses([actor_name(name, self._scope.organization_id)]):
            raise FarsiteError(ErrorCode.CONFLICT, f"There is a service account {name!r} already.")

    async def rename(self, account: Account, name: str) -> None:
        if name != account.name:
            await self.check_free(name)
            account.name, account.email = name, actor_name(name, self._scope.organization_id)

    async def remove(self, row: Row, now: datetime) -> None:
        """The account's row stays for what was done with it; its name is free again."""
        member, account = row
        await revoke_all(self._scope.session, account.id, now)
        await self.users.remove(member)
        account.kind, account.email = AccountKind.REMOVED, f"removed:{account.id}"
        account.disabled_at = now

    async def answer(self, row: Row, now: datetime) -> wire.ServiceAccount:
        member, account = row
        folders = await self.users.folders_of([account.id])
        found = await live_tokens(self._scope.session, account.id, now, personal=True)
        return wire.ServiceAccount(
            id=account.id,
            name=account.name,
            actor=account.email,
            description=account.description,
            role=Role(member.role),
            folder_ids=None if member.all_folders else folders.get(account.id, []),
            disabled=account.disabled_at is not None,
            tokens=len(found),
            used_at=max((token.used_at for token in found if token.used_at), default=None),
            created_at=account.created_at,
        )
