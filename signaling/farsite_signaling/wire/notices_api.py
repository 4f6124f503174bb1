"""REST schemas of notices: what happened, how one wants to be told, webhooks and what became of their messages."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from farsite_signaling.wire.cloud_api import Page, PageAnswer, Title
from farsite_signaling.wire.schema import Tag, _Request, _Schema

MAX_WEBHOOKS = 10
FEWEST_DEVICES = 3
"""Fewer devices than this are never many."""


class NoticeKind(StrEnum):
    """What is told of. Also the `type` of a webhook's message."""

    EDGE_OFFLINE = "edge_host.offline"
    EDGE_ONLINE = "edge_host.online"
    EDGE_STORAGE_FAILING = "edge_host.storage_failing"
    EDGE_STORAGE_RECOVERED = "edge_host.storage_recovered"
    REMOTE_ACCESS_ACTIVE = "remote_access.active"
    DEVICES_UNREACHABLE = "devices.unreachable"
    DEVICES_REACHABLE = "devices.reachable"
    CERTIFICATE_EXPIRING = "edge_host.certificate_expiring"
    UPGRADE_FAILED = "upgrade.failed"
    CAMPAIGN_STOPPED = "campaign.stopped"
    CAMPAIGN_FAILED = "campaign.failed"
    CAMPAIGN_SUCCEEDED = "campaign.succeeded"
    INVITATION = "invitation"
    LICENCE_EXPIRING = "licence.expiring"
    WEBHOOK_DISABLED = "webhook.disabled"


class Channel(StrEnum):
    PRODUCT = "product"
    MAIL = "mail"
    WEBHOOK = "webhook"


class NoticeItem(_Schema):
    """One thing that happened."""

    at: datetime
    text: str
    edge_host_id: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class Notice(_Schema):
    """Things of one kind that happened at about the same time. `items` are the first of them, `count` is how many."""

    id: str
    kind: NoticeKind
    title: str
    items: list[NoticeItem]
    count: int
    created_at: datetime
    read_at: datetime | None = None


class NoticeList(PageAnswer):
    notices: list[Notice]
    unread: int


class NoticeQuery(Page):
    unread: Literal["true", "false"] | None = None
    kind: NoticeKind | None = None


class NoticesRead(_Request):
    """Which ones; none named: all there are."""

    ids: list[str] = Field(default_factory=list, max_length=500)


class NoticeChoice(_Request):
    """How to be told of one kind."""

    kind: NoticeKind
    channels: list[Channel] = Field(max_length=len(Channel))


class NoticeChoices(_Request):
    """As an answer every kind; in a request those that change."""

    choices: list[NoticeChoice] = Field(max_length=len(NoticeKind))


class NoticeSettings(_Schema):
    offline_after_minutes: int = Field(description="how long an edge host may be away before anybody is told")
    unreachable_devices: int = Field(
        default=10,
        description="so many devices of a site that become unreachable at about the same time are told of; of "
        "a small site a fifth of its devices, but at least three",
    )


class NoticeSettingsChange(_Request):
    """Fields left out stay."""

    offline_after_minutes: int | None = Field(default=None, ge=1, le=24 * 60)
    unreachable_devices: int | None = Field(default=None, ge=FEWEST_DEVICES, le=10_000)


class WebhookRequest(_Request):
    name: Title
    url: str = Field(min_length=8, max_length=2000)


class WebhookChange(_Request):
    """Fields left out stay. Switching it on again forgets its failures."""

    name: Title | None = None
    url: str | None = Field(default=None, min_length=8, max_length=2000)
    enabled: bool | None = None


class Webhook(_Schema):
    id: str
    name: str
    url: str
    enabled: bool
    problem: str = Field(default="", description="why it was switched off, or what went wrong last")
    failing_since: datetime | None = None
    created_at: datetime
    etag: Tag = ""


class NewWebhook(Webhook):
    """`secret` verifies its messages (standardwebhooks.com); shown once."""

    secret: str = Field(repr=False)


class WebhookList(_Schema):
    webhooks: list[Webhook]


class DeliveryState(StrEnum):
    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(_Schema):
    """A message to a webhook. `id` is its `webhook-id`, the same at every attempt."""

    id: str
    kind: str
    state: DeliveryState
    attempts: int
    status: int | None = Field(default=None, description="HTTP status of the last answer")
    problem: str = ""
    created_at: datetime
    due_at: datetime | None = Field(default=None, description="when it is tried next")
    finished_at: datetime | None = None
    payload: dict[str, Any]


class DeliveryList(PageAnswer):
    deliveries: list[Delivery]
