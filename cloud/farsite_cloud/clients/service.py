"""Enrolled client devices of an organization's members."""

from __future__ import annotations

from datetime import datetime

from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, OrgId, parse_name


def enrol_client(
    scope: Scope,
    account_id: str,
    body: wire.EnrolRequest,
    keys: OrganizationKeys,
    hub_url: str,
    now: datetime,
) -> wire.Enrolment:
    """A certificate for a new client device of the account. Raises `invalid_request`."""
    client_id = new_id(now)
    name = ClientName(OrgId(scope.organization_id), AccountId(account_id), ClientId(client_id))
    enrolment = keys.enrol(body.csr, name, hub_url, now)
    scope.add(
        ClientDevice(
            id=client_id,
            account_id=account_id,
            name=body.name,
            created_at=now,
            certificate_expires_at=enrolment.expires_at,
        )
    )
    return enrolment


async def own_client(scope: Scope, urn: str, account_id: str) -> ClientDevice:
    """The caller's own client device by its name. Raises `not_found` or `certificate_revoked`."""
    name = parse_name(urn)
    if not isinstance(name, ClientName) or (name.org, name.account) != (scope.organization_id, account_id):
        raise _unknown()
    client = await scope.find(ClientDevice, name.client)
    if client is None or client.account_id != account_id:
        raise _unknown()
    if client.revoked_at is not None:
        detail = "This client device was revoked. Sign in again for a new certificate."
        raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, detail)
    return client


async def revoke_clients(scope: Scope, account_id: str, now: datetime) -> list[ClientDevice]:
    """All of an account's client devices in the organization that were not revoked before."""
    statement = scope.select(ClientDevice).where(
        ClientDevice.account_id == account_id, ClientDevice.revoked_at.is_(None)
    )
    clients = await scope.all(statement)
    for client in clients:
        client.revoked_at = now
    return clients


def client_name(client: ClientDevice) -> ClientName:
    return ClientName(OrgId(client.organization_id), AccountId(client.account_id), ClientId(client.id))


def _unknown() -> FarsiteError:
    detail = "This client device is not one of yours in this organization. Sign in again to enrol it."
    return FarsiteError(ErrorCode.NOT_FOUND, detail)
