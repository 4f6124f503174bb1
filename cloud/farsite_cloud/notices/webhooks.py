"""A member's webhooks, and the messages that wait for them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.notices.models import Webhook, WebhookDelivery
from farsite_cloud.notices.signing import new_secret
from farsite_cloud.outbound import Outbound
from farsite_cloud.vault import Vault
from farsite_signaling.wire import notices_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.notices_api import MAX_WEBHOOKS, DeliveryState

OLD_SECRET_FOR = timedelta(hours=24)
MOST_WAITING = 1000
_SECRET, _URL = "webhook secret", "webhook address"


class Webhooks:
    """Those of one account in one organization; another's do not exist."""

    def __init__(self, scope: Scope, account_id: str) -> None:
        self._scope = scope
        self._account_id = account_id

    async def all(self) -> list[Webhook]:
        statement = self._scope.select(Webhook).where(Webhook.account_id == self._account_id)
        return await self._scope.all(statement.order_by(Webhook.id))

    async def get(self, webhook_id: str) -> Webhook:
        """Raises `not_found`."""
        webhook = await self._scope.get(Webhook, webhook_id, "webhook")
        if webhook.account_id != self._account_id:
            detail = f"There is no webhook {webhook_id[:64]!r} of yours in this organization."
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
        return webhook

    async def create(
        self, request: wire.WebhookRequest, outbound: Outbound, vault: Vault, now: datetime
    ) -> tuple[Webhook, str]:
        """With its secret. Raises `outbound_refused`, `conflict` when there are enough."""
        outbound.check(request.url)
        if len(await self.all()) >= MAX_WEBHOOKS:
            raise FarsiteError(ErrorCode.CONFLICT, f"You have {MAX_WEBHOOKS} webhooks; that is the most.")
        secret = new_secret()
        webhook = Webhook(
            id=new_id(now),
            account_id=self._account_id,
            name=request.name,
            url=vault.seal(request.url.encode(), _URL),
            secret=vault.seal(secret.encode(), _SECRET),
            enabled=True,
            problem="",
            created_at=now,
            revision=1,
        )
        self._scope.add(webhook)
        return webhook, secret

    async def change(
        self, webhook: Webhook, change: wire.WebhookChange, outbound: Outbound, vault: Vault
    ) -> None:
        """Raises `outbound_refused`."""
        if change.name is not None:
            webhook.name = change.name
        if change.url is not None:
            outbound.check(change.url)
            webhook.url = vault.seal(change.url.encode(), _URL)
        if change.enabled is not None:
            webhook.enabled = change.enabled
            webhook.failing_since, webhook.problem = None, ""
        webhook.revision += 1

    async def remove(self, webhook: Webhook) -> None:
        gone = self._scope.delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
        await self._scope.change(gone)
        await self._scope.change(self._scope.delete(Webhook).where(Webhook.id == webhook.id))

    def rotate(self, webhook: Webhook, vault: Vault, now: datetime) -> str:
        """A new secret; messages carry signatures by both for a day."""
        secret = new_secret()
        webhook.old_secret, webhook.old_secret_until = webhook.secret, now + OLD_SECRET_FOR
        webhook.secret = vault.seal(secret.encode(), _SECRET)
        webhook.revision += 1
        return secret

    # messages

    async def queue(self, kind: str, data: dict[str, Any], now: datetime) -> list[WebhookDelivery]:
        """To all that are switched on."""
        rows = [self.delivery(one, kind, data, now) for one in await self.all() if one.enabled]
        for row in rows:
            self._scope.add(row)
        return rows

    def delivery(self, webhook: Webhook, kind: str, data: dict[str, Any], now: datetime) -> WebhookDelivery:
        payload = {"type": kind, "timestamp": now.isoformat(), "data": data}
        return WebhookDelivery(
            id=new_id(now),
            webhook_id=webhook.id,
            kind=kind,
            payload=json.dumps(payload, ensure_ascii=False),
            state=DeliveryState.QUEUED,
            attempts=0,
            problem="",
            created_at=now,
            due_at=now,
        )

    async def test(self, webhook: Webhook, now: datetime) -> WebhookDelivery:
        """Also to one that is switched off: that is how one finds out whether it works again."""
        data = {"title": "This is a test.", "count": 0, "items": []}
        row = self.delivery(webhook, "test", data, now)
        self._scope.add(row)
        return row

    async def deliveries(self, webhook: Webhook, before: str | None, limit: int) -> list[WebhookDelivery]:
        """Newest first; one more than `limit`, if there are."""
        statement = self._scope.select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
        if before is not None:
            statement = statement.where(WebhookDelivery.id < before)
        return await self._scope.all(statement.order_by(WebhookDelivery.id.desc()).limit(limit + 1))


def secrets_of(webhook: Webhook, vault: Vault, now: datetime) -> list[str]:
    """The newest first."""
    sealed = [webhook.secret]
    if webhook.old_secret is not None and webhook.old_secret_until and now < webhook.old_secret_until:
        sealed.append(webhook.old_secret)
    return [vault.unseal(one, _SECRET).decode() for one in sealed]


def url_of(webhook: Webhook, vault: Vault) -> str:
    """Sealed, because addresses of webhooks hold keys of their receivers."""
    return vault.unseal(webhook.url, _URL).decode()
