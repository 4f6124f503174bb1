"""An edge host becomes an organization's."""

from __future__ import annotations

from datetime import datetime

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.ids import new_id
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.models import Organization
from farsite_cloud.setup_codes.service import use_setup_code
from farsite_signaling.wire import cloud_api as wire
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
    """Consumes the code and creates the edge host in one transaction: both, or neither.

    Raises `setup_code_used`, `setup_code_expired`, `invalid_request`.
    """
    code = await use_setup_code(scope, digest, now)
    edge_id = new_id(now)
    name = EdgeName(OrgId(organization.id), EdgeId(edge_id))
    enrolment = keys.enrol(body.csr, name, hub_url, now)
    scope.add(
        EdgeHost(
            id=edge_id,
            folder_id=code.folder_id,
            name=code.name,
            description=code.description,
            hostname=body.hostname,
            version=body.version,
            claimed_at=now,
            certificate_expires_at=enrolment.expires_at,
        )
    )
    return wire.ClaimResult(
        **dict(enrolment),
        edge_id=edge_id,
        edge_name=code.name,
        organization_id=organization.id,
        organization_name=organization.name,
    )
