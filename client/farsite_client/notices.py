"""The cloud's REST API about notices and webhooks, for `CloudClient`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from urllib.parse import quote

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.notices_api import (
    Channel,
    Delivery,
    DeliveryList,
    NewWebhook,
    Notice,
    NoticeChoice,
    NoticeChoices,
    NoticeKind,
    NoticeList,
    NoticeSettings,
    NoticeSettingsChange,
    NoticesRead,
    Webhook,
    WebhookChange,
    WebhookList,
    WebhookRequest,
)


class NoticeCalls(CloudCalls):
    """One's own, in one organization."""

    def notices(
        self, organization: str, *, unread: bool = False, page_size: int = 100
    ) -> AsyncIterator[Notice]:
        """Newest first."""
        path = f"{organization_path(organization)}/notices"
        only = "true" if unread else None
        return self._each(path, NoticeList, lambda page: page.notices, page_size, unread=only)

    async def unread_notices(self, organization: str) -> int:
        path = f"{organization_path(organization)}/notices"
        return (await self._ask("GET", path, NoticeList, query={"limit": "1"})).unread

    async def read_notices(self, organization: str, ids: Sequence[str] = ()) -> None:
        """Mark them as read; none named: all."""
        path = f"{organization_path(organization)}/notices/read"
        await self._send("POST", path, NoticesRead(ids=list(ids)))

    async def notice_choices(self, organization: str) -> list[NoticeChoice]:
        """How one is told of each kind."""
        path = f"{organization_path(organization)}/notice-choices"
        return (await self._ask("GET", path, NoticeChoices)).choices

    async def choose_notices(
        self, organization: str, kind: NoticeKind, channels: Collection[Channel]
    ) -> list[NoticeChoice]:
        path = f"{organization_path(organization)}/notice-choices"
        body = NoticeChoices(choices=[NoticeChoice(kind=kind, channels=list(channels))])
        return (await self._ask("PUT", path, NoticeChoices, body)).choices

    async def notice_settings(self, organization: str) -> NoticeSettings:
        path = f"{organization_path(organization)}/notice-settings"
        return await self._ask("GET", path, NoticeSettings)

    async def change_notice_settings(self, organization: str, change: NoticeSettingsChange) -> NoticeSettings:
        """For everybody in the organization."""
        path = f"{organization_path(organization)}/notice-settings"
        return await self._ask("PUT", path, NoticeSettings, change)

    # webhooks

    async def webhooks(self, organization: str) -> list[Webhook]:
        return (await self._ask("GET", _webhooks(organization), WebhookList)).webhooks

    async def create_webhook(self, organization: str, name: str, url: str) -> NewWebhook:
        """Its `secret` is shown once. Raises `outbound_refused`."""
        body = WebhookRequest(name=name, url=url)
        return await self._ask("POST", _webhooks(organization), NewWebhook, body)

    async def change_webhook(self, organization: str, webhook: str, change: WebhookChange) -> Webhook:
        return await self._ask("PATCH", _webhook(organization, webhook), Webhook, change)

    async def remove_webhook(self, organization: str, webhook: str) -> None:
        await self._send("DELETE", _webhook(organization, webhook))

    async def new_webhook_secret(self, organization: str, webhook: str) -> NewWebhook:
        """The old one is good for another day."""
        return await self._ask("POST", f"{_webhook(organization, webhook)}/secret", NewWebhook)

    async def test_webhook(self, organization: str, webhook: str) -> Delivery:
        """Queued; `webhook_deliveries` tells how it went."""
        return await self._ask("POST", f"{_webhook(organization, webhook)}/test", Delivery)

    def webhook_deliveries(
        self, organization: str, webhook: str, *, page_size: int = 100
    ) -> AsyncIterator[Delivery]:
        """Newest first."""
        path = f"{_webhook(organization, webhook)}/deliveries"
        return self._each(path, DeliveryList, lambda page: page.deliveries, page_size)


def _webhooks(organization: str) -> str:
    return f"{organization_path(organization)}/webhooks"


def _webhook(organization: str, webhook: str) -> str:
    return f"{_webhooks(organization)}/{quote(webhook, safe='')}"
