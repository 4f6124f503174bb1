"""An organization's identity provider, the domains it proved, who is who there, and sign-ins under way."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farsite_cloud.database.base import Base, IdColumn, OrganizationOwned, UtcDateTime


class IdentityProvider(OrganizationOwned, Base):
    """`client_secret` is sealed. `new_members` is the role people unknown so far get; None: only members may enter."""

    __tablename__ = "identity_providers"
    __table_args__ = (UniqueConstraint("organization_id"),)

    issuer: Mapped[str] = mapped_column(String(500))
    client_id: Mapped[str] = mapped_column(String(500))
    client_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    new_members: Mapped[str | None] = mapped_column(String(20))
    counts_as_mfa: Mapped[bool]
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProviderDomain(OrganizationOwned, Base):
    """A domain of the organization's, proven by a code that was mailed to its postmaster. `code` is the digest."""

    __tablename__ = "provider_domains"
    __table_args__ = (UniqueConstraint("organization_id", "domain"),)

    domain: Mapped[str] = mapped_column(String(190), index=True)
    code: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    proven_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ExternalIdentity(OrganizationOwned, Base):
    """Who the provider's (issuer, subject) is here, for this organization."""

    __tablename__ = "external_identities"
    __table_args__ = (UniqueConstraint("organization_id", "issuer", "subject"),)

    issuer: Mapped[str] = mapped_column(String(500))
    subject: Mapped[str] = mapped_column(String(255))
    account_id: Mapped[str] = mapped_column(IdColumn, ForeignKey("accounts.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProviderSignIn(OrganizationOwned, Base):
    """A browser on its way to the provider and back. `id` and `opened_by` are digests: of `state`, of its cookie.

    `kept` is sealed: the nonce, the PKCE verifier, and the user code of the device it is for.
    """

    __tablename__ = "provider_sign_ins"

    opened_by: Mapped[str] = mapped_column(String(64))
    kept: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
