"""An organization's provider, its domains, the identities it vouched for, and sign-ins under way."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts.mailed import code_digest, new_code
from farsite_cloud.accounts.tokens import digest
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import owner_of, owners_of
from farsite_cloud.ids import new_id
from farsite_cloud.providers.flow import Client, Question
from farsite_cloud.providers.models import (
    ExternalIdentity,
    IdentityProvider,
    ProviderDomain,
    ProviderSignIn,
)
from farsite_cloud.urls import PublicUrls
from farsite_cloud.vault import Vault
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

CALLBACK = "/device/sso/callback"
LIFETIME = timedelta(minutes=10)
CODE_LIFETIME = timedelta(days=1)
MOST_DOMAINS = 50


class Providers:
    """Of the scope's organization; one at most."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self) -> IdentityProvider | None:
        return await self._scope.first(self._scope.select(IdentityProvider))

    async def get(self) -> IdentityProvider:
        """Raises `not_found`."""
        provider = await self.find()
        if provider is None:
            detail = "This organization has no identity provider. Set one with: farsite orgs provider set"
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        return provider

    def seal(self, secret: str | None, vault: Vault) -> bytes | None:
        return None if secret is None else vault.seal(secret.encode(), self._purpose())

    def client(self, provider: IdentityProvider, vault: Vault, urls: PublicUrls) -> Client:
        sealed = provider.client_secret
        secret = None if sealed is None else vault.unseal(sealed, self._purpose()).decode()
        return Client(provider.issuer, provider.client_id, secret, urls.api + CALLBACK)

    def _purpose(self) -> str:
        return f"organization {self._scope.organization_id} identity provider"

    async def remove(self) -> None:
        for model in (ExternalIdentity, ProviderSignIn, IdentityProvider):
            await self._scope.change(self._scope.delete(model))


class Domains:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def all(self) -> list[ProviderDomain]:
        return await self._scope.all(self._scope.select(ProviderDomain).order_by(ProviderDomain.domain))

    async def proven(self, domain: str) -> bool:
        found = await self._find(domain)
        return found is not None and found.proven_at is not None

    async def _find(self, domain: str) -> ProviderDomain | None:
        return await self._scope.first(
            self._scope.select(ProviderDomain).where(ProviderDomain.domain == domain)
        )

    async def ask(self, domain: str, now: datetime) -> str:
        """A code for its postmaster. Raises `conflict` for one that is proven, and for too many."""
        known = await self._find(domain)
        if known is not None and known.proven_at is not None:
            raise FarsiteError(ErrorCode.CONFLICT, f"{domain} is proven already.")
        if known is None and len(await self.all()) >= MOST_DOMAINS:
            raise FarsiteError(ErrorCode.CONFLICT, f"An organization has at most {MOST_DOMAINS} domains.")
        code, key = new_code()
        row = known or ProviderDomain(id=new_id(now), domain=domain, created_at=now)
        row.code, row.expires_at = key, now + CODE_LIFETIME
        self._scope.add(row)
        return code

    async def confirm(self, domain: str, code: str, now: datetime) -> None:
        """Raises `code_invalid`."""
        row = await self._find(domain)
        if (
            row is None
            or row.proven_at is not None
            or row.expires_at <= now
            or not secrets.compare_digest(row.code, code_digest(code))
        ):
            detail = "This code is wrong, was used before or has expired. Have another one mailed."
            raise FarsiteError(ErrorCode.CODE_INVALID, detail)
        row.proven_at = now

    async def remove(self, domain: str) -> None:
        """Raises `not_found`."""
        gone = self._scope.delete(ProviderDomain).where(ProviderDomain.domain == domain)
        if not await self._scope.change(gone):
            raise FarsiteError(ErrorCode.NOT_FOUND, f"{domain[:190]!r} is no domain of this organization.")


class Identities:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self, issuer: str, subject: str) -> ExternalIdentity | None:
        return await self._scope.first(
            self._scope.select(ExternalIdentity).where(
                ExternalIdentity.issuer == issuer, ExternalIdentity.subject == subject
            )
        )

    async def has_one(self, issuer: str, account_id: str) -> bool:
        mine = self._scope.select(ExternalIdentity).where(
            ExternalIdentity.issuer == issuer, ExternalIdentity.account_id == account_id
        )
        return await self._scope.first(mine) is not None

    def link(self, issuer: str, subject: str, account_id: str, now: datetime) -> None:
        self._scope.add(
            ExternalIdentity(
                id=new_id(now), issuer=issuer, subject=subject, account_id=account_id, created_at=now
            )
        )

    async def unlink(self, account_id: str) -> int:
        return await self._scope.change(
            self._scope.delete(ExternalIdentity).where(ExternalIdentity.account_id == account_id)
        )


@dataclass(frozen=True)
class Returned:
    """A browser that came back, and what it was sent away with."""

    scope: Scope
    provider: IdentityProvider
    question: Question


def begin(scope: Scope, question: Question, vault: Vault, now: datetime) -> tuple[str, str]:
    """`state`, and the cookie of the browser that alone may come back with it."""
    state, cookie = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    scope.add(
        ProviderSignIn(
            id=digest(state),
            opened_by=digest(cookie),
            kept=vault.seal(question.dump(), "provider sign-in"),
            created_at=now,
            expires_at=now + LIFETIME,
        )
    )
    return state, cookie


async def sweep(scope: Scope, now: datetime) -> None:
    await scope.change(scope.delete(ProviderSignIn).where(ProviderSignIn.expires_at <= now))


async def come_back(session: AsyncSession, state: str, cookie: str, vault: Vault, now: datetime) -> Returned:
    """Once, in the browser it was begun in, and in time. Raises `code_invalid`."""
    key = digest(state[:200])
    organization_id = await owner_of(session, ProviderSignIn, key)
    if organization_id is None:
        raise _stale()
    scope = Scope(session, organization_id)
    mine = scope.select(ProviderSignIn).where(
        ProviderSignIn.id == key,
        ProviderSignIn.opened_by == digest(cookie[:200]),
        ProviderSignIn.expires_at > now,
    )
    row = await scope.first(mine)
    taken = row and await scope.change(scope.delete(ProviderSignIn).where(ProviderSignIn.id == key))
    if row is None or taken != 1:
        raise _stale()
    question = Question.load(vault.unseal(row.kept, "provider sign-in"))
    return Returned(scope, await Providers(scope).get(), question)


def _stale() -> FarsiteError:
    detail = "This sign-in was not begun in this browser, was used before or has expired. Begin again."
    return FarsiteError(ErrorCode.CODE_INVALID, detail)


async def organization_called(session: AsyncSession, name: str) -> str:
    """Of an id, or of a domain one organization has proven. Raises `not_found`, `conflict`."""
    name = name.strip().lower()[:190]
    by_id = await owners_of(session, IdentityProvider, IdentityProvider.organization_id == name)
    proven = (ProviderDomain.domain == name) & ProviderDomain.proven_at.is_not(None)
    found = by_id or await owners_of(session, ProviderDomain, proven)
    if len(found) == 1:
        return found[0]
    if found:
        raise FarsiteError(ErrorCode.CONFLICT, f"Several organizations have {name!r}: give the one's id.")
    detail = f"No organization with an identity provider has the domain or id {name!r}."
    raise FarsiteError(ErrorCode.NOT_FOUND, detail)
