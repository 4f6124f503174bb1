"""Tells members of what happened: one notice, one mail, one message to each webhook for all events of a kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from farsite_cloud.accounts.models import Account, AccountKind
from farsite_cloud.database import Scope
from farsite_cloud.database.scope import due_rows
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.ids import new_id
from farsite_cloud.mail.letters import Letter, render
from farsite_cloud.mail.queue import put
from farsite_cloud.notices.choices import Choices
from farsite_cloud.notices.models import Notice, NoticeEvent
from farsite_cloud.notices.rules import RULES, Rule
from farsite_cloud.notices.webhooks import Webhooks
from farsite_cloud.organizations.models import Membership, Organization
from farsite_cloud.organizations.service import find_organization, reach_of
from farsite_cloud.services import Services
from farsite_cloud.users.service import Users
from farsite_signaling.wire.notices_api import Channel, NoticeKind
from farsite_signaling.wire.rights import Role, rights_of

LISTED = 50
"""Events that are told one by one; of more only how many."""
AT_ONCE = 5000
KEPT = timedelta(days=180)


@dataclass(frozen=True)
class Batch:
    """Events of one kind, told together."""

    organization: Organization
    kind: NoticeKind
    events: Sequence[NoticeEvent]
    now: datetime

    @property
    def rule(self) -> Rule:
        return RULES[self.kind]


async def tell_one(services: Services) -> bool:
    """Tell of events that are due. False when there are none."""
    async with services.database.reading() as session:
        due = await due_rows(session, NoticeEvent, NoticeEvent.due_at <= services.clock())
    if not due:
        return False
    organization_id, event_id = due[0]
    try:
        async with services.database.writing() as session:
            await _tell_batch(services, Scope(session, organization_id), event_id)
    except _Taken:
        return True
    await services.mailer.wake()
    await services.sweeper.wake()
    return True


async def _tell_batch(services: Services, scope: Scope, event_id: str) -> None:
    batch = await _gather(scope, event_id, services.clock())
    if batch is not None:
        await _tell_all(services, scope, batch)
        await _forget_old(scope, batch.now)


async def _gather(scope: Scope, event_id: str, now: datetime) -> Batch | None:
    """All events of its kind that wait, marked as told. None when it is too soon, or another process has them."""
    first = await scope.find(NoticeEvent, event_id)
    organization = await find_organization(scope.session, scope.organization_id)
    if first is None or organization is None:
        return None
    kind = NoticeKind(first.kind)
    waiting = (NoticeEvent.kind == kind, NoticeEvent.due_at.is_not(None))
    again = await _too_soon(scope, kind, now)
    if again is not None:
        await scope.change(scope.update(NoticeEvent).where(*waiting).values(due_at=again))
        return None
    statement = scope.select(NoticeEvent).where(*waiting).order_by(NoticeEvent.id).limit(AT_ONCE)
    events = await scope.all(statement)
    mine = scope.update(NoticeEvent).where(*waiting, NoticeEvent.id.in_([one.id for one in events]))
    if await scope.change(mine.values(due_at=None, told_at=now)) != len(events):
        raise _Taken
    return Batch(organization, kind, events, now) if events else None


class _Taken(Exception):
    """Another process tells of them: ends the unit of work."""


async def _too_soon(scope: Scope, kind: NoticeKind, now: datetime) -> datetime | None:
    """When this kind may be told of again, if not now."""
    told = scope.select(NoticeEvent).where(NoticeEvent.kind == kind, NoticeEvent.told_at.is_not(None))
    last = await scope.first(told.order_by(NoticeEvent.told_at.desc()))
    if last is None or last.told_at is None or now >= last.told_at + RULES[kind].pause:
        return None
    return last.told_at + RULES[kind].pause


async def _tell_all(services: Services, scope: Scope, batch: Batch) -> None:
    for member, account in await Users(scope).everyone():
        events = await _visible(scope, member, batch)
        if events:
            await _tell(services, scope, batch, member, account, events)


async def _visible(scope: Scope, member: Membership, batch: Batch) -> list[NoticeEvent]:
    if batch.rule.right not in rights_of(Role(member.role)):
        return []
    own = [one for one in batch.events if one.account_id in (None, member.account_id)]
    reach = await reach_of(scope.session, member)
    if reach.everywhere:
        return own
    reached = await EdgeHosts(Scope(scope.session, scope.organization_id, reach)).ids()
    return [one for one in own if one.edge_host_id is None or one.edge_host_id in reached]


async def _tell(
    services: Services,
    scope: Scope,
    batch: Batch,
    member: Membership,
    account: Account,
    events: list[NoticeEvent],
) -> None:
    title = events[0].text if len(events) == 1 else batch.rule.many.format(count=len(events))
    channels = await Choices(scope, account.id, rights_of(Role(member.role))).channels(batch.kind)
    items = [_item(one) for one in events[:LISTED]]
    if Channel.PRODUCT in channels:
        scope.add(
            Notice(
                id=new_id(batch.now),
                account_id=member.account_id,
                kind=batch.kind,
                title=title[:200],
                items=items,
                count=len(events),
                created_at=batch.now,
            )
        )
    if Channel.MAIL in channels and account.kind == AccountKind.PERSON:
        _mail(services, scope, batch, account, title, events)
    if Channel.WEBHOOK in channels:
        data = {"title": title, "count": len(events), "items": items}
        data |= {"organization_id": batch.organization.id, "organization": batch.organization.name}
        await Webhooks(scope, member.account_id).queue(batch.kind, data, batch.now)


def _item(event: NoticeEvent) -> dict[str, object]:
    values: dict[str, object] = {"at": event.created_at.isoformat(), "text": event.text}
    values |= {"edge_host_id": event.edge_host_id, "details": json.loads(json.dumps(event.details))}
    return values


def _mail(
    services: Services,
    scope: Scope,
    batch: Batch,
    account: Account,
    title: str,
    events: list[NoticeEvent],
) -> None:
    content = render(
        Letter.NOTICE,
        title=title,
        organization=batch.organization.name,
        lines=[f"{one.created_at:%Y-%m-%d %H:%M} UTC  {one.text}" for one in events[:LISTED]],
        more=len(events) - LISTED,
        kind=str(batch.kind),
        url=services.urls.api,
    )
    put(scope.session, account.email, content, services.vault, batch.now)


async def _forget_old(scope: Scope, now: datetime) -> None:
    old = now - KEPT
    await scope.change(scope.delete(Notice).where(Notice.created_at < old))
    over = (NoticeEvent.created_at < old, NoticeEvent.told_at.is_not(None), NoticeEvent.lasting.is_(False))
    await scope.change(scope.delete(NoticeEvent).where(*over))
