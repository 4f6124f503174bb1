"""An edge host becomes an organization's."""

from __future__ import annotations

from datetime import datetime, timedelta

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.naming import free_name
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.models import Organization
from farsite_cloud.setup_codes.models import SetupCode
from farsite_cloud.setup_codes.service import use_setup_code
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import EdgeId, EdgeName, OrgId


async def claim_edge_host(
    scope: Scope,
    digest: str,
    body: wire.Claim,
    organization: Organization,
    keys: OrganizationKeys,
    hub_url: str,
    now: datetime,
) -> wire.ClaimResult:
    """Consumes the code and creates the edge host, or takes it up again, in one transaction: both, or neither.

    Its name is taken when another code's claim was faster: whoever stands at the machine cannot choose one, so it gets a
    number. For whoever holds the organization's `lock`.

    Raises `setup_code_used`, `setup_code_expired`, `setup_code_invalid`, `invalid_request`.
    """
    code = await use_setup_code(scope, digest, now)
    edge = await _edge_host(scope, code, now)
    name = EdgeName(OrgId(organization.id), EdgeId(edge.id))
    # Certificates count by seconds: this one begins after every other that it can have had until now.
    begins = now if code.edge_host_id is None else now + timedelta(seconds=1)
    enrolment = keys.enrol(body.csr, name, hub_url, begins)
    edge.hostname, edge.version = body.hostname, body.version
    edge.certificate_expires_at = enrolment.expires_at
    if code.edge_host_id is not None:
        edge.certificates_since = load_certificate(enrolment.certificate).not_valid_before_utc
    return wire.ClaimResult(
        **dict(enrolment),
        edge_id=edge.id,
        edge_name=edge.name,
        organization_id=organization.id,
        organization_name=organization.name,
    )


async def has_returned(scope: Scope, edge_id: str) -> bool:
    """It had certificates before those of this claim."""
    return (await scope.get(EdgeHost, edge_id, "edge host")).certificates_since is not None


async def _edge_host(scope: Scope, code: SetupCode, now: datetime) -> EdgeHost:
    if code.edge_host_id is None:
        edge = EdgeHost(
            id=new_id(now),
            folder_id=code.folder_id,
            name=await free_name(scope, code.name),
            description=code.description,
            claimed_at=now,
        )
        scope.add(edge)
        return edge
    found = await scope.find(EdgeHost, code.edge_host_id)
    if found is None or found.revoked_at is not None:
        detail = f"The edge host {code.name!r} of this setup code was removed meanwhile. Make a new code."
        raise FarsiteError(ErrorCode.SETUP_CODE_INVALID, detail)
    return found
