"""All routes under `/api/v1`."""

from __future__ import annotations

from farsite_cloud.accounts.mfa_routes import api as second_factors
from farsite_cloud.accounts.own import api as own_account
from farsite_cloud.accounts.personal import api as personal
from farsite_cloud.accounts.registration import api as registration
from farsite_cloud.accounts.removal import api as removal
from farsite_cloud.accounts.routes import api as accounts
from farsite_cloud.api.authorize import check_table
from farsite_cloud.audit.routes import api as audit
from farsite_cloud.browser.routes import api as device_sign_ins
from farsite_cloud.claims.routes import api as claims
from farsite_cloud.clients.routes import api as clients
from farsite_cloud.edge_hosts.device_certificates import api as device_certificates
from farsite_cloud.edge_hosts.recovery import api as edge_recovery
from farsite_cloud.edge_hosts.removal import api as edge_removal
from farsite_cloud.edge_hosts.renewal import api as renewals
from farsite_cloud.edge_hosts.routes import api as edge_hosts
from farsite_cloud.exports.routes import api as exports
from farsite_cloud.folders.routes import api as folders
from farsite_cloud.inventory.routes import api as inventory
from farsite_cloud.inventory.tag_routes import api as inventory_tags
from farsite_cloud.invitations.accepting import api as accepting
from farsite_cloud.invitations.routes import api as invitations
from farsite_cloud.licences.routes import api as licences
from farsite_cloud.notices.routes import api as notices
from farsite_cloud.notices.webhook_routes import api as webhooks
from farsite_cloud.organizations.deletion import api as deletions
from farsite_cloud.organizations.routes import api as organizations
from farsite_cloud.passkeys.routes import api as passkeys
from farsite_cloud.policies.routes import api as policy_templates
from farsite_cloud.providers.routes import api as providers
from farsite_cloud.relay_checks import api as relay_checks
from farsite_cloud.service_accounts.routes import api as service_accounts
from farsite_cloud.service_accounts.token_routes import api as service_tokens
from farsite_cloud.sessions.routes import api as sessions
from farsite_cloud.setup_codes.routes import api as setup_codes
from farsite_cloud.support.own import api as own_support
from farsite_cloud.support.routes import api as support
from farsite_cloud.users.leaving import api as leaving
from farsite_cloud.users.routes import api as users
from farsite_cloud.views.routes import api as views
from farsite_cloud.work.routes import api as work
from farsite_signaling.rest import Api

FEATURES = (
    # What is asked for most: routes are tried one after the other.
    inventory_tags,
    inventory,
    edge_hosts,
    edge_removal,
    edge_recovery,
    folders,
    views,
    accounts,
    registration,
    own_account,
    personal,
    device_sign_ins,
    second_factors,
    passkeys,
    providers,
    organizations,
    users,
    leaving,
    support,
    own_support,
    deletions,
    removal,
    exports,
    service_accounts,
    service_tokens,
    invitations,
    accepting,
    clients,
    setup_codes,
    claims,
    renewals,
    device_certificates,
    sessions,
    relay_checks,
    audit,
    licences,
    work,
    policy_templates,
    notices,
    webhooks,
)


def route_table() -> Api:
    api = Api()
    for feature in FEATURES:
        api.include(feature)
    check_table(api)
    return api
