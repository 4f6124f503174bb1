"""Sends messages to webhooks: taken with a lease, sent outside any transaction, tried again for days."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from farsite_cloud.accounts.service import is_enabled
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import due_rows
from farsite_cloud.notices.events import emit
from farsite_cloud.notices.models import Webhook, WebhookDelivery
from farsite_cloud.notices.signing import headers
from farsite_cloud.notices.webhooks import secrets_of, url_of
from farsite_cloud.organizations.service import membership
from farsite_cloud.services import Services
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.notices_api import DeliveryState, NoticeKind

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=1)
AT_A_TIME = 16
# Standard Webhooks, "Retry schedule"; after the last the message is given up.
RETRIES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)
DISABLED_AFTER = timedelta(days=5)
KEPT_FOR = timedelta(days=30)
SECONDS = 15.0
MAX_ANSWER = 16 * 1024
GONE = 410


@dataclass(frozen=True)
class Taken:
    """A message in the hands of one worker until its lease ends."""

    organization: str
    delivery: str
    webhook: str
    url: str
    body: bytes
    keys: list[str]


@dataclass(frozen=True)
class Outcome:
    status: int | None
    problem: str = ""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


async def deliver_due(services: Services) -> bool:
    """Several at a time, so that a slow receiver holds up the others by seconds at most. False when nothing is due."""
    now = services.clock()
    waiting = (WebhookDelivery.state == DeliveryState.QUEUED, WebhookDelivery.due_at <= now)
    async with services.database.reading() as session:
        due = await due_rows(session, WebhookDelivery, *waiting, limit=AT_A_TIME)
    async with asyncio.TaskGroup() as group:
        for organization, delivery in due:
            group.create_task(_deliver(services, organization, delivery, now), name=f"webhook {delivery}")
    return bool(due)


async def _deliver(services: Services, organization: str, delivery: str, now: datetime) -> None:
    async with services.database.writing() as session:
        taken = await _take(services, Scope(session, organization), delivery, now)
    if taken is not None:
        outcome = await _send(services, taken)
        async with services.database.writing() as session:
            await _finish(Scope(session, taken.organization), taken, outcome, services.clock())


async def _take(services: Services, scope: Scope, delivery_id: str, now: datetime) -> Taken | None:
    """None when another worker has it, or nobody may get it any more."""
    mine = scope.update(WebhookDelivery).where(
        WebhookDelivery.id == delivery_id,
        WebhookDelivery.state == DeliveryState.QUEUED,
        WebhookDelivery.due_at <= now,
    )
    if await scope.change(mine.values(due_at=now + LEASE)) != 1:
        return None
    delivery = await scope.get(WebhookDelivery, delivery_id, "delivery")
    webhook = await scope.get(Webhook, delivery.webhook_id, "webhook")
    delivery.attempts += 1
    if (problem := await _lost(scope, webhook.account_id)) is not None:
        _end(delivery, DeliveryState.FAILED, problem, now)
        return None
    return Taken(
        organization=scope.organization_id,
        delivery=delivery.id,
        webhook=webhook.id,
        url=url_of(webhook, services.vault),
        body=delivery.payload.encode(),
        keys=secrets_of(webhook, services.vault, now),
    )


async def _lost(scope: Scope, account_id: str) -> str | None:
    """Why a webhook's owner is told nothing any more."""
    if await membership(scope.session, scope.organization_id, account_id) is None:
        return "Its owner is not a member any more."
    return None if await is_enabled(scope.session, account_id) else "Its owner's account is disabled."


async def _send(services: Services, taken: Taken) -> Outcome:
    given = headers(taken.delivery, taken.body, taken.keys, services.clock())
    try:
        reply = await services.outbound.request(
            "POST", taken.url, headers=given, data=taken.body, seconds=SECONDS, max_bytes=MAX_ANSWER
        )
    except FarsiteError as error:
        return Outcome(None, error.detail)
    return Outcome(reply.status, "" if 200 <= reply.status < 300 else f"It answered {reply.status}.")


async def _finish(scope: Scope, taken: Taken, outcome: Outcome, now: datetime) -> None:
    delivery = await scope.find(WebhookDelivery, taken.delivery)
    webhook = await scope.find(Webhook, taken.webhook)
    if delivery is None or webhook is None:
        return  # removed meanwhile
    delivery.status = outcome.status
    if outcome.delivered:
        _end(delivery, DeliveryState.DELIVERED, "", now)
        webhook.failing_since, webhook.problem = None, ""
        await _forget_old(scope, webhook, now)
    else:
        await _failed(scope, webhook, delivery, outcome, now)


def _end(delivery: WebhookDelivery, state: DeliveryState, problem: str, now: datetime) -> None:
    delivery.state, delivery.problem, delivery.finished_at = state, problem[:500], now


async def _failed(
    scope: Scope, webhook: Webhook, delivery: WebhookDelivery, outcome: Outcome, now: datetime
) -> None:
    logger.warning("webhook %s: delivery %s failed: %s", webhook.id, delivery.id, outcome.problem)
    test = delivery.kind == "test"
    if test or delivery.attempts > len(RETRIES):
        _end(delivery, DeliveryState.FAILED, outcome.problem, now)
    else:
        delivery.problem = outcome.problem[:500]
        again = now + RETRIES[delivery.attempts - 1]
        delivery.due_at = again
        await _postpone_others(scope, webhook, again)
    if test:
        return
    webhook.failing_since = webhook.failing_since or now
    webhook.problem = outcome.problem[:500]
    if outcome.status == GONE or now >= webhook.failing_since + DISABLED_AFTER:
        await _disable(scope, webhook, now)


async def _postpone_others(scope: Scope, webhook: Webhook, until: datetime) -> None:
    """One message finds out whether it works again; the others wait for it."""
    others = scope.update(WebhookDelivery).where(
        WebhookDelivery.webhook_id == webhook.id,
        WebhookDelivery.state == DeliveryState.QUEUED,
        WebhookDelivery.kind != "test",
        WebhookDelivery.due_at < until,
    )
    await scope.change(others.values(due_at=until))


async def _disable(scope: Scope, webhook: Webhook, now: datetime) -> None:
    webhook.enabled = False
    webhook.revision += 1
    left = scope.update(WebhookDelivery).where(
        WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.state == DeliveryState.QUEUED
    )
    values = {"state": DeliveryState.FAILED, "problem": "The webhook was switched off.", "finished_at": now}
    await scope.change(left.values(**values))
    text = f"The webhook {webhook.name!r} was switched off: {webhook.problem}"
    key = f"webhook {webhook.id} {now.isoformat()}"
    await emit(scope, NoticeKind.WEBHOOK_DISABLED, text, key=key, now=now, account_id=webhook.account_id)


async def _forget_old(scope: Scope, webhook: Webhook, now: datetime) -> None:
    old = scope.delete(WebhookDelivery).where(
        WebhookDelivery.webhook_id == webhook.id,
        WebhookDelivery.created_at < now - KEPT_FOR,
        WebhookDelivery.state != DeliveryState.QUEUED,
    )
    await scope.change(old)
