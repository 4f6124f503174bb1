"""The cloud's REST API about campaigns and policy templates, for `CloudClient`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.policy_templates_api import (
    Template,
    TemplateChange,
    TemplateList,
    TemplateRequest,
    TemplateVersion,
    TemplateVersionList,
)
from farsite_signaling.wire.work_api import (
    Campaign,
    CampaignDevice,
    CampaignDeviceList,
    CampaignKind,
    CampaignKindList,
    CampaignList,
    CampaignOrder,
    CampaignOrderList,
    CampaignRequest,
    CampaignResume,
    CampaignRetry,
    CampaignStep,
    CampaignStepList,
)

LOOK_EVERY = 1.0


class WorkCalls(CloudCalls):
    """Work on devices of many edge hosts."""

    async def campaign_kinds(self, organization: str) -> list[CampaignKind]:
        path = f"{organization_path(organization)}/campaign-kinds"
        return (await self._ask("GET", path, CampaignKindList)).kinds

    def campaigns(
        self, organization: str, *, state: str | None = None, page_size: int = 100
    ) -> AsyncIterator[Campaign]:
        """Newest first. `state`: `open` or `finished`."""
        path = f"{organization_path(organization)}/campaigns"
        return self._each(path, CampaignList, lambda page: page.campaigns, page_size, state=state)

    async def start_campaign(self, organization: str, request: CampaignRequest) -> Campaign:
        return await self._ask("POST", f"{organization_path(organization)}/campaigns", Campaign, request)

    async def campaign(self, organization: str, campaign: str) -> Campaign:
        return await self._ask("GET", _campaign(organization, campaign), Campaign)

    async def follow_campaign(
        self, organization: str, campaign: str, *, every: float = LOOK_EVERY
    ) -> AsyncIterator[Campaign]:
        """Each time something changed, until it is over, or stopped and waits for somebody."""
        before: Campaign | None = None
        while True:
            shown = await self.campaign(organization, campaign)
            if shown != before:
                yield shown
            if shown.state.finished or shown.state in ("stopped", "paused"):
                return
            before = shown
            await asyncio.sleep(every)

    def campaign_orders(
        self, organization: str, campaign: str, *, page_size: int = 200
    ) -> AsyncIterator[CampaignOrder]:
        """What each edge host does for it."""
        path = f"{_campaign(organization, campaign)}/orders"
        return self._each(path, CampaignOrderList, lambda page: page.orders, page_size)

    def campaign_devices(
        self, organization: str, campaign: str, *, state: str | None = None, page_size: int = 200
    ) -> AsyncIterator[CampaignDevice]:
        """What became of each device."""
        path = f"{_campaign(organization, campaign)}/devices"
        return self._each(path, CampaignDeviceList, lambda page: page.devices, page_size, state=state)

    def campaign_steps(
        self, organization: str, campaign: str, order: str, *, page_size: int = 200
    ) -> AsyncIterator[CampaignStep]:
        """The log of one edge host's devices, oldest first."""
        path = f"{_campaign(organization, campaign)}/orders/{_quoted(order)}/steps"
        return self._each(path, CampaignStepList, lambda page: page.steps, page_size)

    async def pause_campaign(self, organization: str, campaign: str) -> Campaign:
        """Raises `conflict` when there is nothing to pause."""
        return await self._ask("POST", f"{_campaign(organization, campaign)}/pause", Campaign)

    async def resume_campaign(
        self, organization: str, campaign: str, change: CampaignResume | None = None
    ) -> Campaign:
        """After a pause or a stop; failures so far are forgiven."""
        path = f"{_campaign(organization, campaign)}/resume"
        return await self._ask("POST", path, Campaign, change or CampaignResume())

    async def cancel_campaign(self, organization: str, campaign: str) -> Campaign:
        return await self._ask("POST", f"{_campaign(organization, campaign)}/cancel", Campaign)

    async def retry_campaign(
        self, organization: str, campaign: str, request: CampaignRetry | None = None
    ) -> Campaign:
        """A new campaign for what did not succeed. Raises `conflict` when all went well."""
        path = f"{_campaign(organization, campaign)}/retry"
        return await self._ask("POST", path, Campaign, request or CampaignRetry())

    async def remove_campaign(self, organization: str, campaign: str) -> None:
        await self._send("DELETE", _campaign(organization, campaign))

    # policy templates

    def policy_templates(self, organization: str, *, page_size: int = 100) -> AsyncIterator[Template]:
        path = f"{organization_path(organization)}/policy-templates"
        return self._each(path, TemplateList, lambda page: page.templates, page_size)

    async def policy_template(self, organization: str, template: str) -> Template:
        return await self._ask("GET", _template(organization, template), Template)

    async def policy_template_versions(self, organization: str, template: str) -> list[TemplateVersion]:
        """Newest first."""
        path = f"{_template(organization, template)}/versions"
        return (await self._ask("GET", path, TemplateVersionList)).versions

    async def create_policy_template(self, organization: str, request: TemplateRequest) -> Template:
        path = f"{organization_path(organization)}/policy-templates"
        return await self._ask("POST", path, Template, request)

    async def change_policy_template(
        self, organization: str, template: str, change: TemplateChange
    ) -> Template:
        """A new version."""
        return await self._ask("PATCH", _template(organization, template), Template, change)

    async def remove_policy_template(self, organization: str, template: str) -> None:
        await self._send("DELETE", _template(organization, template))


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _campaign(organization: str, campaign: str) -> str:
    return f"{organization_path(organization)}/campaigns/{_quoted(campaign)}"


def _template(organization: str, template: str) -> str:
    return f"{organization_path(organization)}/policy-templates/{_quoted(template)}"
