"""Whether a certificate is one of ours, now: signed by the organization's authority, known and not revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import find_organization, was_erased
from farsite_signaling.identity import OrganizationTrust, certificate_name
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import EdgeName, PeerName

PROOF_ERRORS = (
    ErrorCode.CERTIFICATE_INVALID,
    ErrorCode.CERTIFICATE_EXPIRED,
    ErrorCode.CERTIFICATE_REVOKED,
    ErrorCode.SIGNATURE_INVALID,
    ErrorCode.CLOCK_SKEW,
    ErrorCode.FORBIDDEN,
)
"""What routes answer with that take a proof by a certificate's key."""


@dataclass(frozen=True)
class Admitted:
    name: PeerName
    certificate: x509.Certificate
    organization: Organization
    row: EdgeHost | ClientDevice


async def admit(session: AsyncSession, pem: str, now: datetime) -> Admitted:
    """Raises `certificate_invalid`, `certificate_expired`, `clock_skew`, `certificate_revoked`."""
    claimed = certificate_name(load_certificate(pem))
    organization = await find_organization(session, claimed.org)
    if organization is None and await was_erased(session, claimed.org):
        raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, "The organization was deleted.")
    if organization is None:
        raise FarsiteError(
            ErrorCode.CERTIFICATE_INVALID, "The certificate is of no organization of this cloud."
        )
    name, certificate = OrganizationTrust(organization.authority_certificate).verify(pem, now)
    row = await find_peer(Scope(session, organization.id), name)
    if row is None or row.revoked_at is not None:
        what = "edge host" if isinstance(name, EdgeName) else "client device"
        detail = f"This {what} was removed from its organization."
        raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, detail)
    _check_not_void(row, certificate)
    return Admitted(name, certificate, organization, row)


def _check_not_void(row: EdgeHost | ClientDevice, certificate: x509.Certificate) -> None:
    since = row.certificates_since if isinstance(row, EdgeHost) else None
    if since is not None and certificate.not_valid_before_utc < since:
        detail = "This edge host's certificate was revoked. Claim it again: farsite edges reclaim NAME gives a code."
        raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, detail)


async def find_peer(scope: Scope, name: PeerName) -> EdgeHost | ClientDevice | None:
    if isinstance(name, EdgeName):
        return await scope.find(EdgeHost, name.edge)
    client = await scope.find(ClientDevice, name.client)
    return client if client is not None and client.account_id == name.account else None
