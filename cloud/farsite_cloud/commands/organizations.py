"""`farsite cloud organizations …`: what an operator sees of the organizations on their cloud, and does about them.

How many, how much and since when; never what. Names of folders, edge hosts and devices, what policies and logs say:
none of it is read here (docs/security.md).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func

from farsite_cloud.accounts.models import AccountKind
from farsite_cloud.audit.log import Act, write
from farsite_cloud.audit.models import AuditEvent
from farsite_cloud.commands.desk import HERE, OPERATOR, Desk
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import by_owner
from farsite_cloud.database.sizes import database_bytes, table_bytes
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.exports.models import Export
from farsite_cloud.inventory.models import ManagedDevice
from farsite_cloud.licences.licensing import Licensing
from farsite_cloud.mail.letters import Letter
from farsite_cloud.organizations import service
from farsite_cloud.organizations.models import Organization
from farsite_cloud.sessions.endings import end_of_everybody
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_MOST_TABLES = 20


async def list_organizations(desk: Desk) -> list[dict[str, Any]]:
    """Oldest first."""
    found = await service.every_organization(desk.session)
    numbers = await _numbers(desk)
    licensing = Licensing.of(desk.settings)
    return [await _shown(desk, organization, numbers, licensing) for organization in found]


async def _numbers(desk: Desk) -> dict[str, dict[str, Any]]:
    """By what is counted, then by organization."""
    session, kept = desk.session, EdgeHost.revoked_at.is_(None)
    return {
        "owners": await service.owners_by_organization(session),
        "users": await service.count_members(session, AccountKind.PERSON),
        "service_accounts": await service.count_members(session, AccountKind.SERVICE),
        "edge_hosts": await by_owner(session, EdgeHost, func.count(), kept),
        "devices": await by_owner(session, ManagedDevice, func.count()),
        "last_used": await service.last_uses(session),
        "last_seen": await by_owner(session, EdgeHost, func.max(EdgeHost.last_seen), kept),
    }


async def _shown(
    desk: Desk, organization: Organization, numbers: dict[str, dict[str, Any]], licensing: Licensing
) -> dict[str, Any]:
    key = organization.id
    standing = await licensing.evaluate(Scope(desk.session, key), organization, desk.now)
    return {
        "id": key,
        "name": organization.name,
        "state": _state(organization),
        "created_at": organization.created_at.isoformat(),
        "owners": numbers["owners"].get(key, []),
        **{
            name: numbers[name].get(key, 0) for name in ("users", "service_accounts", "edge_hosts", "devices")
        },
        "licence": str(standing.state),
        **{name: _text(numbers[name].get(key)) for name in ("last_used", "last_seen")},
        "suspended_at": _text(organization.suspended_at),
        "suspended_reason": organization.suspended_reason,
        "deletes_at": _text(organization.deletes_at),
    }


def _state(organization: Organization) -> str:
    if organization.deletes_at is not None:
        return "deleted"
    return "active" if organization.suspended_at is None else "suspended"


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


async def _find(desk: Desk, wanted: str) -> Organization:
    """By its id, or by a name that only one has; locked. Raises `not_found`, `conflict`."""
    every = await service.every_organization(desk.session)
    found = [one for one in every if one.id == wanted] or [one for one in every if one.name == wanted]
    if not found:
        detail = f"There is no organization {wanted[:100]!r}. List them: farsite cloud organizations list"
        raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise FarsiteError(ErrorCode.CONFLICT, f"{len(found)} organizations are called so. Give an id: {ids}")
    return await service.lock(desk.session, found[0].id)


async def show(desk: Desk, wanted: str) -> dict[str, Any]:
    """One of them, with what it stores. Raises `not_found`, `conflict`."""
    organization = await _find(desk, wanted)
    shown = await _shown(desk, organization, await _numbers(desk), Licensing.of(desk.settings))
    rows = (await _rows(desk)).get(organization.id, _NOTHING)
    return shown | {
        "default_rules": {
            "require_mfa": organization.require_mfa,
            "provider_required": organization.provider_required,
            "sign_in_idle_days": organization.sign_in_idle_days,
            "sign_in_days": organization.sign_in_days,
        },
        "stored": rows,
    }


_NOTHING = {"devices": 0, "audit_rows": 0, "export_bytes": 0}


async def _rows(desk: Desk) -> dict[str, dict[str, int]]:
    counted = {
        "devices": await by_owner(desk.session, ManagedDevice, func.count()),
        "audit_rows": await by_owner(desk.session, AuditEvent, func.count()),
        "export_bytes": await by_owner(desk.session, Export, func.sum(Export.size)),
    }
    keys = {key for found in counted.values() for key in found}
    return {key: {name: int(found.get(key) or 0) for name, found in counted.items()} for key in keys}


async def storage(desk: Desk) -> dict[str, Any]:
    """What takes the room: the database, its largest tables, and each organization's rows."""
    rows = await _rows(desk)
    tables = await table_bytes(desk.session)
    return {
        "database_bytes": await database_bytes(desk.session),
        "tables": dict(list(tables.items())[:_MOST_TABLES]),
        "organizations": [
            {"id": one.id, "name": one.name} | rows.get(one.id, _NOTHING)
            for one in await service.every_organization(desk.session)
        ],
    }


async def suspend(desk: Desk, wanted: str, reason: str) -> dict[str, Any]:
    """It is seen and not changed from now on; sessions end, members are told. Raises `not_found`, `conflict`."""
    organization = await _find(desk, wanted)
    if organization.suspended_at is not None:
        raise FarsiteError(ErrorCode.CONFLICT, f"{organization.name!r} is suspended already.")
    organization.suspended_at, organization.suspended_reason = desk.now, _printable(reason)
    organization.revision += 1
    ended = await end_of_everybody(Scope(desk.session, organization.id), desk.now)
    _audit(desk, organization, "organization.suspended", reason=organization.suspended_reason)
    told = await desk.mail_members(organization, Letter.SUSPENDED, reason=organization.suspended_reason)
    return {"id": organization.id, "name": organization.name, "sessions_ended": ended, "told": told}


async def reactivate(desk: Desk, wanted: str) -> dict[str, Any]:
    """Raises `not_found`, `conflict`."""
    organization = await _find(desk, wanted)
    if organization.suspended_at is None:
        raise FarsiteError(ErrorCode.CONFLICT, f"{organization.name!r} is not suspended.")
    organization.suspended_at, organization.suspended_reason = None, ""
    organization.revision += 1
    _audit(desk, organization, "organization.reactivated")
    told = await desk.mail_members(organization, Letter.REACTIVATED)
    return {"id": organization.id, "name": organization.name, "told": told}


async def delete(desk: Desk, wanted: str, name: str) -> dict[str, Any]:
    """Announced: it works on, and can be restored, for the time of grace. Raises `not_found`, `conflict`,
    `invalid_request` unless `name` is its name."""
    organization = await _find(desk, wanted)
    if name != organization.name:
        detail = f"To delete it, give its name as it stands: {organization.name}"
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    if organization.deletes_at is not None:
        raise FarsiteError(ErrorCode.CONFLICT, "Its deletion is under way already.")
    at = desk.now + timedelta(days=desk.settings.deletion_grace_days)
    organization.deletes_at, organization.deletion_by = at, f"the {OPERATOR}"
    organization.revision += 1
    _audit(desk, organization, "organization.deletion_requested", deletes_at=at.isoformat())
    told = await desk.mail_members(organization, Letter.DELETION, at=f"{at:%Y-%m-%d %H:%M}")
    return {"id": organization.id, "name": organization.name, "deletes_at": at.isoformat(), "told": told}


async def restore(desk: Desk, wanted: str) -> dict[str, Any]:
    """Raises `not_found`, `conflict`."""
    organization = await _find(desk, wanted)
    at = organization.deletes_at
    if at is None:
        raise FarsiteError(ErrorCode.CONFLICT, f"{organization.name!r} is not being deleted.")
    if at <= desk.now:
        raise FarsiteError(ErrorCode.CONFLICT, "It is too late: it is being erased.")
    organization.deletes_at, organization.deletion_by = None, ""
    organization.revision += 1
    _audit(desk, organization, "organization.restored")
    told = await desk.mail_members(organization, Letter.RESTORED, at=f"{at:%Y-%m-%d %H:%M}")
    return {"id": organization.id, "name": organization.name, "told": told}


def _audit(desk: Desk, organization: Organization, action: str, **details: Any) -> None:
    act = Act(action, OPERATOR, HERE, [organization.id], organization.name, details=details)
    write(desk.session, act, desk.now)


def _printable(reason: str) -> str:
    """Raises `invalid_request` for none at all: members are told it."""
    text = "".join(one if one.isprintable() else " " for one in reason).strip()
    if not text or len(text) > 500:
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST, "Members are told a reason: give one of 1 to 500 characters."
        )
    return text
