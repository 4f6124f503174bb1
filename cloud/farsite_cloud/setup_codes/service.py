"""Making setup codes, and using each of them once."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import Scope
from farsite_cloud.database.scope import owner_of, owners_of
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.naming import check_free
from farsite_cloud.folders.models import Folder
from farsite_cloud.setup_codes.code import code_digest, new_code
from farsite_cloud.setup_codes.models import SetupCode
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LIFETIME = timedelta(minutes=15)


async def make_setup_code(
    scope: Scope, account_id: str, body: wire.SetupCodeRequest, default_folder_id: str, now: datetime
) -> wire.SetupCode:
    """Raises `not_found` for an unknown folder, `conflict` for a name that an edge host has.

    Of codes that are still good several may have one name: somebody lost the first.
    """
    folder = await scope.get(Folder, body.folder_id or default_folder_id, "folder")
    await check_free(scope, body.name)
    made = SetupCode(folder_id=folder.id, name=body.name, description=body.description)
    return _keep(scope, made, account_id, now)


def make_code_again(scope: Scope, account_id: str, edge: EdgeHost, now: datetime) -> wire.SetupCode:
    """A code with which this very edge host is claimed again."""
    made = SetupCode(
        folder_id=edge.folder_id, name=edge.name, description=edge.description, edge_host_id=edge.id
    )
    return _keep(scope, made, account_id, now)


def _keep(scope: Scope, made: SetupCode, account_id: str, now: datetime) -> wire.SetupCode:
    code = new_code()
    made.id, made.created_by = code_digest(code), account_id
    made.created_at, made.expires_at = now, now + LIFETIME
    scope.add(made)
    return wire.SetupCode(code=code, expires_at=made.expires_at, name=made.name, folder_id=made.folder_id)


async def organization_of_code(session: AsyncSession, digest: str) -> str:
    """Raises `setup_code_invalid`."""
    organization_id = await owner_of(session, SetupCode, digest)
    if organization_id is None:
        detail = "This setup code is not known. Check it for typing errors, or make a new one."
        raise FarsiteError(ErrorCode.SETUP_CODE_INVALID, detail)
    return organization_id


async def use_setup_code(scope: Scope, digest: str, now: datetime) -> SetupCode:
    """Consume the code. However many try at the same time, one of them succeeds: the update decides.

    Raises `setup_code_used`, `setup_code_expired`.
    """
    unused = scope.update(SetupCode).where(
        SetupCode.id == digest, SetupCode.used_at.is_(None), SetupCode.expires_at > now
    )
    consumed = await scope.change(unused.values(used_at=now))
    code = await scope.get(SetupCode, digest, "setup code")
    if consumed == 1:
        return code
    if code.used_at is not None:
        detail = "This setup code was used before: it works once. Make a new one."
        raise FarsiteError(ErrorCode.SETUP_CODE_USED, detail)
    detail = f"This setup code expired at {code.expires_at:%H:%M} UTC. Make a new one."
    raise FarsiteError(ErrorCode.SETUP_CODE_EXPIRED, detail)


async def waiting_setup_codes(scope: Scope, folder_id: str, now: datetime) -> int:
    """Codes for a folder that can still be used."""
    good = scope.select(SetupCode).where(
        SetupCode.folder_id == folder_id, SetupCode.used_at.is_(None), SetupCode.expires_at > now
    )
    return await scope.count(good)


async def forget_setup_codes(scope: Scope, folder_id: str) -> None:
    """All codes for a folder: they are used or expired, and the folder goes."""
    await scope.change(scope.delete(SetupCode).where(SetupCode.folder_id == folder_id))


async def void_setup_codes(scope: Scope, account_id: str, now: datetime) -> None:
    """Codes made by somebody who leaves claim nothing any more."""
    theirs = scope.update(SetupCode).where(
        SetupCode.created_by == account_id, SetupCode.used_at.is_(None), SetupCode.expires_at > now
    )
    await scope.change(theirs.values(expires_at=now))


async def void_all_setup_codes(session: AsyncSession, account_id: str, now: datetime) -> None:
    """In every organization."""
    for organization_id in await owners_of(session, SetupCode, SetupCode.created_by == account_id):
        await void_setup_codes(Scope(session, organization_id), account_id, now)
