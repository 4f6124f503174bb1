"""Roles and rights: the one table that says which role may do what.

The cloud uses it to issue grants, the edge host to check every request and stream again by itself.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Right(StrEnum):
    """One thing a person may be allowed to do. Routes and tunnel targets name the one they need."""

    ORGANIZATION_READ = "organization.read"
    ORGANIZATION_MANAGE = "organization.manage"
    ORGANIZATION_OWN = "organization.own"
    FOLDER_MANAGE = "folder.manage"
    USER_READ = "user.read"
    USER_MANAGE = "user.manage"
    EDGE_READ = "edge.read"
    EDGE_CLAIM = "edge.claim"
    EDGE_MANAGE = "edge.manage"
    REMOTE_ACCESS = "remote.access"
    DEVICE_READ = "device.read"
    DEVICE_VIEW = "device.view"
    DEVICE_MANAGE = "device.manage"
    DEVICE_CREDENTIALS = "device.credentials"
    DEVICE_WEB = "device.web"
    AUDIT_READ = "audit.read"
    LICENCE_MANAGE = "licence.manage"
    VIEW_SHARE = "view.share"
    NOTICE_OWN = "notice.own"
    POLICY_MANAGE = "policy.manage"


_VIEWER = {
    Right.ORGANIZATION_READ,
    Right.NOTICE_OWN,
    Right.USER_READ,
    Right.EDGE_READ,
    Right.REMOTE_ACCESS,
    Right.DEVICE_READ,
    Right.DEVICE_VIEW,
}
_OPERATOR = _VIEWER | {Right.VIEW_SHARE, Right.DEVICE_WEB}
_ADMIN = _OPERATOR | {
    Right.ORGANIZATION_MANAGE,
    Right.FOLDER_MANAGE,
    Right.USER_MANAGE,
    Right.EDGE_CLAIM,
    Right.EDGE_MANAGE,
    Right.DEVICE_MANAGE,
    Right.DEVICE_CREDENTIALS,
    Right.AUDIT_READ,
    Right.LICENCE_MANAGE,
    Right.POLICY_MANAGE,
}
_OWNER = _ADMIN | {Right.ORGANIZATION_OWN}
# Whoever is let in for a limited time lets nobody else in, and does not change the rules they are under.
NOT_FOR_SUPPORT = frozenset({Right.USER_MANAGE, Right.ORGANIZATION_MANAGE, Right.ORGANIZATION_OWN})
# What an access token for chosen folders may do in the cloud: nothing that is about the organization as a whole …
IN_CHOSEN_FOLDERS = frozenset(_OPERATOR - {Right.NOTICE_OWN})
# … and in sessions, which are with one edge host of those folders.
IN_CHOSEN_SESSIONS = IN_CHOSEN_FOLDERS | {
    Right.DEVICE_MANAGE,
    Right.DEVICE_CREDENTIALS,
    Right.POLICY_MANAGE,
}
# Roles that reach every folder; the others reach those chosen for them.
EVERY_FOLDER = frozenset({Role.OWNER, Role.ADMIN})

# What stops when the grace after a licence is over; everything that only looks goes on.
CHANGES_DEVICES = frozenset({Right.DEVICE_MANAGE, Right.DEVICE_CREDENTIALS, Right.POLICY_MANAGE})

ROLE_RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset(_VIEWER),
    Role.OPERATOR: frozenset(_OPERATOR),
    Role.ADMIN: frozenset(_ADMIN),
    Role.OWNER: frozenset(_OWNER),
}


def rights_of(role: Role) -> frozenset[Right]:
    return ROLE_RIGHTS[role]
