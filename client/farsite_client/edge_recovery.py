"""The cloud's REST API about edge hosts that come back, for `CloudClient`: certificates revoked, claimed again."""

from __future__ import annotations

from urllib.parse import quote

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.cloud_api import SetupCode


class EdgeRecoveryCalls(CloudCalls):
    async def setup_code_again(self, organization: str, edge: str) -> SetupCode:
        """A one-time code with which this very edge host is claimed again; certificates it had before end then."""
        return await self._ask("POST", f"{_edge(organization, edge)}/setup-code", SetupCode)

    async def revoke_edge_certificate(
        self, organization: str, edge: str, *, risk_confirmed: bool = False
    ) -> None:
        """It is cut off until it is claimed again. Raises `confirmation_needed`."""
        query = {"risk_confirmed": str(risk_confirmed).lower()}
        await self._send("DELETE", f"{_edge(organization, edge)}/certificate", query=query)


def _edge(organization: str, edge: str) -> str:
    return f"{organization_path(organization)}/edge-hosts/{quote(edge, safe='')}"
