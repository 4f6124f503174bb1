"""The caller's webhooks: made, changed, tried, and what became of their messages."""

from __future__ import annotations

import json

from aiohttp import web

from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag, tag_of
from farsite_cloud.api.idempotency import HEADER, once
from farsite_cloud.api.paging import next_cursor, read_page
from farsite_cloud.notices.models import Webhook, WebhookDelivery
from farsite_cloud.notices.webhooks import Webhooks, url_of
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import notices_api as wire
from farsite_signaling.wire.cloud_api import Page
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.rights import Right

api = Api()
_LIST = "/organizations/{org}/webhooks"
_ONE = _LIST + "/{webhook}"


def _own(call: Call) -> Webhooks:
    return Webhooks(call.scope, call.caller.account_id)


async def _named(call: Call, request: web.Request) -> Webhook:
    return await _own(call).get(request.match_info["webhook"])


def _answer(call: Call, webhook: Webhook) -> wire.Webhook:
    return wire.Webhook(
        id=webhook.id,
        name=webhook.name,
        url=url_of(webhook, call.services.vault),
        enabled=webhook.enabled,
        problem=webhook.problem,
        failing_since=webhook.failing_since,
        created_at=webhook.created_at,
        etag=tag_of(webhook.revision),
    )


def _with_secret(call: Call, webhook: Webhook, secret: str) -> wire.NewWebhook:
    return wire.NewWebhook(**_answer(call, webhook).model_dump(), secret=secret)


@api.route("GET", _LIST, need=Right.NOTICE_OWN, response=wire.WebhookList)
async def list_webhooks(request: web.Request) -> wire.WebhookList:
    """Your webhooks in this organization."""
    call = call_of(request)
    return wire.WebhookList(webhooks=[_answer(call, one) for one in await _own(call).all()])


@api.route(
    "POST",
    _LIST,
    need=Right.NOTICE_OWN,
    request=wire.WebhookRequest,
    response=wire.NewWebhook,
    status=201,
    headers=(HEADER,),
    errors=(ErrorCode.OUTBOUND_REFUSED,),
)
async def create_webhook(request: web.Request, body: wire.WebhookRequest) -> wire.NewWebhook:
    """An address that gets your notices, each signed with a secret that is shown once."""
    call = call_of(request)
    return await once(request, call.caller.account_id, wire.NewWebhook, lambda: _create(call, body))


async def _create(call: Call, body: wire.WebhookRequest) -> wire.NewWebhook:
    with call.act("webhook.created", body.name) as act:
        services = call.services
        webhook, secret = await _own(call).create(body, services.outbound, services.vault, call.now)
        act.details["webhook"] = webhook.id
        await call.session.flush()
    return _with_secret(call, webhook, secret)


@api.route("GET", _ONE, need=Right.NOTICE_OWN, response=wire.Webhook)
async def get_webhook(request: web.Request) -> Answer:
    """One webhook."""
    call = call_of(request)
    webhook = await _named(call, request)
    return Answer(_answer(call, webhook), etag(webhook.revision))


@api.route(
    "PATCH",
    _ONE,
    need=Right.NOTICE_OWN,
    request=wire.WebhookChange,
    response=wire.Webhook,
    headers=(IF_MATCH,),
    errors=(ErrorCode.OUTBOUND_REFUSED,),
)
async def change_webhook(request: web.Request, body: wire.WebhookChange) -> Answer:
    """Rename it, change its address, switch it off or on again. Fields left out stay."""
    call = call_of(request)
    with call.act("webhook.changed", request.match_info["webhook"]) as act:
        webhook = await _named(call, request)
        await check_unchanged(request, webhook)
        await _own(call).change(webhook, body, call.services.outbound, call.services.vault)
        act.details |= body.model_dump(exclude_none=True, exclude={"url"})
    return Answer(_answer(call, webhook), etag(webhook.revision))


@api.route("DELETE", _ONE, need=Right.NOTICE_OWN, headers=(IF_MATCH,))
async def remove_webhook(request: web.Request) -> None:
    """Remove it, with the messages that wait for it."""
    call = call_of(request)
    with call.act("webhook.removed", request.match_info["webhook"]):
        webhook = await _named(call, request)
        await check_unchanged(request, webhook)
        await _own(call).remove(webhook)


@api.route("POST", f"{_ONE}/secret", need=Right.NOTICE_OWN, response=wire.NewWebhook, status=201)
async def new_webhook_secret(request: web.Request) -> wire.NewWebhook:
    """A new secret, shown once. For a day messages are signed with the old one too."""
    call = call_of(request)
    with call.act("webhook.secret_changed", request.match_info["webhook"]):
        webhook = await _named(call, request)
        secret = _own(call).rotate(webhook, call.services.vault, call.now)
    return _with_secret(call, webhook, secret)


@api.route("POST", f"{_ONE}/test", need=Right.NOTICE_OWN, response=wire.Delivery, status=201)
async def test_webhook(request: web.Request) -> wire.Delivery:
    """Send it a test message at once, tried one time. Its delivery tells how it went."""
    call = call_of(request)
    row = await _own(call).test(await _named(call, request), call.now)
    call.later(call.services.sweeper.wake)
    return _delivery(row)


@api.route("GET", f"{_ONE}/deliveries", need=Right.NOTICE_OWN, response=wire.DeliveryList, query=Page)
async def list_deliveries(request: web.Request) -> wire.DeliveryList:
    """Its messages of the last weeks, newest first."""
    call = call_of(request)
    before, limit = read_page(request)
    rows = await _own(call).deliveries(await _named(call, request), before, limit)
    return wire.DeliveryList(
        deliveries=[_delivery(row) for row in rows[:limit]], next_cursor=next_cursor(rows, limit)
    )


def _delivery(row: WebhookDelivery) -> wire.Delivery:
    state = wire.DeliveryState(row.state)
    return wire.Delivery(
        id=row.id,
        kind=row.kind,
        state=state,
        attempts=row.attempts,
        status=row.status,
        problem=row.problem,
        created_at=row.created_at,
        due_at=row.due_at if state is wire.DeliveryState.QUEUED else None,
        finished_at=row.finished_at,
        payload=json.loads(row.payload),
    )
