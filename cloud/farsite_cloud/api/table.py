"""All routes under `/api/v1`."""

from __future__ import annotations

from farsite_cloud.accounts.routes import api as accounts
from farsite_cloud.api.authorize import check_table
from farsite_cloud.audit.routes import api as audit
from farsite_cloud.claims.routes import api as claims
from farsite_cloud.clients.routes import api as clients
from farsite_cloud.edge_hosts.renewal import api as renewals
from farsite_cloud.edge_hosts.routes import api as edge_hosts
from farsite_cloud.folders.routes import api as folders
from farsite_cloud.organizations.routes import api as organizations
from farsite_cloud.relay_checks import api as relay_checks
from farsite_cloud.sessions.routes import api as sessions
from farsite_cloud.setup_codes.routes import api as setup_codes
from farsite_signaling.rest import Api

FEATURES = (
    accounts,
    organizations,
    folders,
    clients,
    setup_codes,
    claims,
    edge_hosts,
    renewals,
    sessions,
    relay_checks,
    audit,
)


def route_table() -> Api:
    api = Api()
    for feature in FEATURES:
        api.include(feature)
    check_table(api)
    return api
