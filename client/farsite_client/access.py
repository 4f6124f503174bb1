"""The cloud's REST API about access that is no member's, for `CloudClient`: support, and service accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from urllib.parse import quote

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.access_api import (
    ServiceAccount,
    ServiceAccountChange,
    ServiceAccountList,
    ServiceAccountRequest,
    ServiceTokenList,
    ServiceTokenRequest,
    SupportAccess,
    SupportAccessList,
    SupportChange,
    SupportRequest,
)
from farsite_signaling.wire.people_api import NewToken, PersonalToken, TokenRotation


class AccessCalls(CloudCalls):
    def support_accesses(self, organization: str, *, page_size: int = 100) -> AsyncIterator[SupportAccess]:
        """Newest first, with those that have ended."""
        path = _support(organization)
        return self._each(path, SupportAccessList, lambda page: page.support, page_size)

    async def grant_support(self, organization: str, request: SupportRequest) -> SupportAccess:
        """Raises `conflict` for an address that has access already."""
        return await self._ask("POST", _support(organization), SupportAccess, request)

    async def move_support_end(self, organization: str, access: str, until: datetime) -> SupportAccess:
        path = f"{_support(organization)}/{_quoted(access)}"
        return await self._ask("PATCH", path, SupportAccess, SupportChange(until=until))

    async def end_support(self, organization: str, access: str) -> None:
        """Its sessions and tunnels are cut within seconds."""
        await self._send("DELETE", f"{_support(organization)}/{_quoted(access)}")

    def service_accounts(self, organization: str, *, page_size: int = 100) -> AsyncIterator[ServiceAccount]:
        path = _services(organization)
        return self._each(path, ServiceAccountList, lambda page: page.service_accounts, page_size)

    async def create_service_account(
        self, organization: str, request: ServiceAccountRequest
    ) -> ServiceAccount:
        return await self._ask("POST", _services(organization), ServiceAccount, request)

    async def change_service_account(
        self, organization: str, account: str, change: ServiceAccountChange
    ) -> ServiceAccount:
        path = f"{_services(organization)}/{_quoted(account)}"
        return await self._ask("PATCH", path, ServiceAccount, change)

    async def remove_service_account(self, organization: str, account: str) -> None:
        """Its tokens, certificates and sessions end at once."""
        await self._send("DELETE", f"{_services(organization)}/{_quoted(account)}")

    async def service_tokens(self, organization: str, account: str) -> list[PersonalToken]:
        return (await self._ask("GET", _tokens(organization, account), ServiceTokenList)).tokens

    async def create_service_token(
        self, organization: str, account: str, request: ServiceTokenRequest
    ) -> NewToken:
        """Its `token` is shown once."""
        return await self._ask("POST", _tokens(organization, account), NewToken, request)

    async def rotate_service_token(
        self, organization: str, account: str, token: str, *, days: int = 90, overlap_hours: int = 0
    ) -> NewToken:
        """A new secret; the old one works for the overlap."""
        path = f"{_tokens(organization, account)}/{_quoted(token)}/rotation"
        body = TokenRotation(expires_in_days=days, overlap_hours=overlap_hours)
        return await self._ask("POST", path, NewToken, body)

    async def revoke_service_token(self, organization: str, account: str, token: str) -> None:
        await self._send("DELETE", f"{_tokens(organization, account)}/{_quoted(token)}")


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _support(organization: str) -> str:
    return f"{organization_path(organization)}/support-access"


def _services(organization: str) -> str:
    return f"{organization_path(organization)}/service-accounts"


def _tokens(organization: str, account: str) -> str:
    return f"{_services(organization)}/{_quoted(account)}/tokens"
