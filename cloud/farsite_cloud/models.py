"""Every table, so that the metadata is whole wherever it is needed."""

from __future__ import annotations

from farsite_cloud.accounts.models import Account, MailedCode, RecoveryCode, SignInCode, Token
from farsite_cloud.api.models import KeptAnswer
from farsite_cloud.audit.models import AuditChain, AuditCheckpoint, AuditEvent, OperatorEvent
from farsite_cloud.browser.models import BrowserSignIn, DeviceSignIn
from farsite_cloud.catalogue.models import CatalogueModel
from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database.base import Base
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.exports.models import Export, ExportChunk
from farsite_cloud.folders.models import Folder
from farsite_cloud.inventory.models import (
    EdgeHostTask,
    EdgeHostWork,
    EdgeImage,
    InventoryCount,
    InventoryPosition,
    ManagedDevice,
    ModelRelease,
    ThingTag,
)
from farsite_cloud.invitations.models import Invitation
from farsite_cloud.licences.models import Licence, LicenceRecord, LicenceReservation, RedeemedKey
from farsite_cloud.mail.models import Mail
from farsite_cloud.notices.models import (
    Notice,
    NoticeChoice,
    NoticeEvent,
    NoticeSettings,
    Webhook,
    WebhookDelivery,
)
from farsite_cloud.organizations.models import ErasedOrganization, FolderAccess, Membership, Organization
from farsite_cloud.passkeys.models import Passkey, PasskeyChallenge
from farsite_cloud.policies.models import PolicyTemplate, PolicyTemplateVersion
from farsite_cloud.providers.models import ExternalIdentity, IdentityProvider, ProviderDomain, ProviderSignIn
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.setup_codes.models import SetupCode
from farsite_cloud.support.models import SupportAccess
from farsite_cloud.views.models import SavedView
from farsite_cloud.work.models import Campaign, CampaignDevice, CampaignOrder, CampaignStep

metadata = Base.metadata

__all__ = [
    "Account",
    "AuditChain",
    "AuditCheckpoint",
    "AuditEvent",
    "BrowserSignIn",
    "Campaign",
    "CampaignDevice",
    "CampaignOrder",
    "CampaignStep",
    "CatalogueModel",
    "ClientDevice",
    "DeviceSignIn",
    "EdgeHost",
    "EdgeHostTask",
    "EdgeHostWork",
    "EdgeImage",
    "ErasedOrganization",
    "Export",
    "ExportChunk",
    "ExternalIdentity",
    "Folder",
    "FolderAccess",
    "IdentityProvider",
    "InventoryCount",
    "InventoryPosition",
    "Invitation",
    "KeptAnswer",
    "Licence",
    "LicenceRecord",
    "LicenceReservation",
    "Mail",
    "MailedCode",
    "ManagedDevice",
    "Membership",
    "ModelRelease",
    "Notice",
    "NoticeChoice",
    "NoticeEvent",
    "NoticeSettings",
    "OperatorEvent",
    "Organization",
    "Passkey",
    "PasskeyChallenge",
    "PolicyTemplate",
    "PolicyTemplateVersion",
    "ProviderDomain",
    "ProviderSignIn",
    "RecoveryCode",
    "RedeemedKey",
    "RemoteSession",
    "SavedView",
    "SetupCode",
    "SignInCode",
    "SupportAccess",
    "ThingTag",
    "Token",
    "Webhook",
    "WebhookDelivery",
    "metadata",
]
