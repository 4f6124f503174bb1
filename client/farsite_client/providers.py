"""The cloud's REST API about an organization's identity provider, for `CloudClient`. Owners only."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import SecretStr

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.provider_api import DomainProof, DomainRequest, Provider, ProviderRequest


class ProviderCalls(CloudCalls):
    async def identity_provider(self, organization: str) -> Provider:
        """Raises `not_found` where there is none."""
        return await self._ask("GET", _provider(organization), Provider)

    async def set_identity_provider(self, organization: str, request: ProviderRequest) -> Provider:
        """It is asked first. Raises `outbound_failed`, `outbound_refused`, `provider_refused`."""
        return await self._ask("PUT", _provider(organization), Provider, request)

    async def remove_identity_provider(self, organization: str) -> None:
        """The sign-ins it vouched for end."""
        await self._send("DELETE", _provider(organization))

    async def ask_for_domain(self, organization: str, request: DomainRequest) -> None:
        """A code is mailed to the domain's postmaster, for `confirm_domain`."""
        await self._send("POST", f"{_provider(organization)}/domains", request)

    async def confirm_domain(self, organization: str, domain: str, code: str) -> None:
        """Raises `code_invalid`."""
        body = DomainProof(domain=domain, code=SecretStr(code))
        await self._send("POST", f"{_provider(organization)}/domains/confirm", body)

    async def remove_domain(self, organization: str, domain: str) -> None:
        await self._send("DELETE", f"{_provider(organization)}/domains/{quote(domain, safe='')}")

    async def unlink_identity(self, organization: str, account: str) -> None:
        """Who the member is at the provider is forgotten."""
        await self._send("DELETE", f"{_provider(organization)}/identities/{quote(account, safe='')}")


def _provider(organization: str) -> str:
    return f"{organization_path(organization)}/identity-provider"
