"""Whether a certificate is one of ours, now: signed by the organization's authority, known and not revoked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import anybodys_rows
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import authorities_of, erased_among, find_organization, was_erased
from farsite_signaling.identity import OrganizationTrust, certificate_name
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import ClientName, EdgeName, PeerName

PROOF_ERRORS = (
    ErrorCode.CERTIFICATE_INVALID,
    ErrorCode.CERTIFICATE_EXPIRED,
    ErrorCode.CERTIFICATE_REVOKED,
    ErrorCode.SIGNATURE_INVALID,
    ErrorCode.CLOCK_SKEW,
    ErrorCode.FORBIDDEN,
)
"""What routes answer with that take a proof by a certificate's key."""
_EDGE = (EdgeHost.id, EdgeHost.organization_id, EdgeHost.revoked_at, EdgeHost.certificates_since)
_CLIENT = (
    ClientDevice.id,
    ClientDevice.organization_id,
    ClientDevice.account_id,
    ClientDevice.revoked_at,
)


@dataclass(frozen=True)
class Admitted:
    name: PeerName
    certificate: x509.Certificate
    organization: Organization
    row: EdgeHost | ClientDevice


@dataclass(frozen=True)
class Known:
    """What the database has of a name that somebody claims. `row`: of an edge host or client device."""

    authority: str | None = None
    erased: bool = False
    row: Any = None


async def admit(session: AsyncSession, pem: str, now: datetime) -> Admitted:
    """Raises `certificate_invalid`, `certificate_expired`, `clock_skew`, `certificate_revoked`."""
    name = claimed_name(pem)
    organization = await find_organization(session, name.org)
    if organization is None:
        judge(pem, Known(erased=await was_erased(session, name.org)), now)
    assert organization is not None, "nobody is let into none"
    row = await find_peer(Scope(session, organization.id), name)
    name, certificate = judge(pem, Known(organization.authority_certificate, row=row), now)
    assert row is not None, "who is not known is not let in"
    return Admitted(name, certificate, organization, row)


def claimed_name(pem: str) -> PeerName:
    """What a certificate says, whoever signed it. Raises `certificate_invalid`."""
    return certificate_name(load_certificate(pem))


def judge(pem: str, known: Known, now: datetime) -> tuple[PeerName, x509.Certificate]:
    """`known`: of the `claimed_name`. Raises what `admit` does."""
    if known.authority is None and known.erased:
        raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, "The organization was deleted.")
    if known.authority is None:
        raise FarsiteError(
            ErrorCode.CERTIFICATE_INVALID, "The certificate is of no organization of this cloud."
        )
    name, certificate = _trust(known.authority).verify(pem, now)
    if known.row is None or known.row.revoked_at is not None:
        what = "edge host" if isinstance(name, EdgeName) else "client device"
        detail = f"This {what} was removed from its organization."
        raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, detail)
    if isinstance(name, EdgeName):
        _check_not_void(known.row.certificates_since, certificate)
    return name, certificate


@lru_cache(maxsize=1000)
def _trust(authority: str) -> OrganizationTrust:
    """Read once for each authority, not for each of its peers."""
    return OrganizationTrust(authority)


def _check_not_void(since: datetime | None, certificate: x509.Certificate) -> None:
    if since is not None and certificate.not_valid_before_utc < since:
        detail = "This edge host's certificate was revoked. Claim it again: farsite edges reclaim NAME gives a code."
        raise FarsiteError(ErrorCode.CERTIFICATE_REVOKED, detail)


async def find_peer(scope: Scope, name: PeerName) -> EdgeHost | ClientDevice | None:
    if isinstance(name, EdgeName):
        return await scope.find(EdgeHost, name.edge)
    client = await scope.find(ClientDevice, name.client)
    return client if client is not None and client.account_id == name.account else None


async def find_peers(session: AsyncSession, names: Mapping[int, PeerName]) -> dict[int, Known]:
    """Of each, by two or three statements for all. Names may be made up: nobody has proven any of them yet."""
    organizations = {name.org for name in names.values()}
    authorities = await authorities_of(session, organizations)
    missing = organizations - authorities.keys()
    erased = await erased_among(session, missing) if missing else set()
    known = [name for name in names.values() if name.org in authorities]
    edges, clients = await _edges(session, known), await _clients(session, known)
    return {
        number: Known(
            authorities.get(name.org),
            name.org in erased,
            _own(name, edges.get(name.edge) if isinstance(name, EdgeName) else clients.get(name.client)),
        )
        for number, name in names.items()
    }


def _own(name: PeerName, row: Any) -> Any:
    """None for another organization's row, and another account's."""
    if row is None or row.organization_id != name.org:
        return None
    return None if isinstance(name, ClientName) and row.account_id != name.account else row


async def _edges(session: AsyncSession, names: Collection[PeerName]) -> dict[str, Any]:
    ids = {name.edge for name in names if isinstance(name, EdgeName)}
    return await anybodys_rows(session, EdgeHost, ids, _EDGE) if ids else {}


async def _clients(session: AsyncSession, names: Collection[PeerName]) -> dict[str, Any]:
    ids = {name.client for name in names if isinstance(name, ClientName)}
    return await anybodys_rows(session, ClientDevice, ids, _CLIENT) if ids else {}
