"""The cloud's REST API about licences, for `CloudClient`."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import SecretStr

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.licence_api import (
    Allocation,
    AllocationList,
    LicenceOverview,
    RedeemRequest,
    ReservationRequest,
)


class LicenceCalls(CloudCalls):
    async def licences(self, organization: str) -> LicenceOverview:
        """What there is, what is needed, until when it is covered."""
        return await self._ask("GET", _licences(organization), LicenceOverview)

    async def redeem_licence(self, organization: str, key: str) -> LicenceOverview:
        """Raises `licence_invalid`, `licence_used`."""
        body = RedeemRequest(key=SecretStr(key))
        return await self._ask("POST", _licences(organization), LicenceOverview, body)

    async def licence_allocations(self, organization: str) -> list[Allocation]:
        """What each edge host needs and gets."""
        path = f"{_licences(organization)}/allocations"
        return (await self._ask("GET", path, AllocationList)).allocations

    async def reserve_licences(
        self, organization: str, edge: str, *, device: int = 0, universal: int = 0
    ) -> list[Allocation]:
        """Licences that go to an edge host before others; none of both takes that back."""
        path = f"{_licences(organization)}/allocations/{quote(edge, safe='')}"
        body = ReservationRequest(device=device, universal=universal)
        return (await self._ask("PUT", path, AllocationList, body)).allocations


def _licences(organization: str) -> str:
    return f"{organization_path(organization)}/licences"
