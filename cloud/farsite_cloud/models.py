"""Every table, so that the metadata is whole wherever it is needed."""

from __future__ import annotations

from farsite_cloud.accounts.models import Account, MailedCode, RecoveryCode, SignInCode, Token
from farsite_cloud.api.models import KeptAnswer
from farsite_cloud.audit.models import AuditEvent
from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database.base import Base
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.folders.models import Folder
from farsite_cloud.invitations.models import Invitation
from farsite_cloud.mail.models import Mail
from farsite_cloud.organizations.models import FolderAccess, Membership, Organization
from farsite_cloud.passkeys.models import Passkey, PasskeyChallenge
from farsite_cloud.providers.models import ExternalIdentity, IdentityProvider, ProviderDomain, ProviderSignIn
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.setup_codes.models import SetupCode

metadata = Base.metadata

__all__ = [
    "Account",
    "AuditEvent",
    "ClientDevice",
    "EdgeHost",
    "ExternalIdentity",
    "Folder",
    "FolderAccess",
    "IdentityProvider",
    "Invitation",
    "KeptAnswer",
    "Mail",
    "MailedCode",
    "Membership",
    "Organization",
    "Passkey",
    "PasskeyChallenge",
    "ProviderDomain",
    "ProviderSignIn",
    "RecoveryCode",
    "RemoteSession",
    "SetupCode",
    "SignInCode",
    "Token",
    "metadata",
]
