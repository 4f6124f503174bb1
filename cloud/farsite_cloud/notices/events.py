"""Telling that something happened: a row in the unit of work in which it did. Who hears of it is decided later."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.notices.models import NoticeEvent
from farsite_cloud.notices.rules import RULES
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.notices_api import NoticeKind


async def emit(
    scope: Scope,
    kind: NoticeKind,
    text: str,
    *,
    key: str,
    now: datetime,
    edge_host_id: str | None = None,
    account_id: str | None = None,
    details: dict[str, Any] | None = None,
    lasting: bool = False,
) -> bool:
    """False when an event of this `key` is known. `text` is one sentence for people; `edge_host_id` keeps it from those
    who do not reach that edge host, `account_id` from everybody else. It is told of once the unit of work is
    committed."""
    if await known(scope, [key]):
        return False
    scope.add(
        NoticeEvent(
            id=new_id(now),
            kind=kind,
            key=key[:200],
            text=clean(text)[:500],
            details=details or {},
            edge_host_id=edge_host_id,
            account_id=account_id,
            lasting=lasting,
            created_at=now,
            due_at=now + RULES[kind].gather,
        )
    )
    await scope.session.flush()
    return True


async def known(scope: Scope, keys: Collection[str]) -> set[str]:
    """Which of these keys were used."""
    statement = scope.select(NoticeEvent).where(NoticeEvent.key.in_([key[:200] for key in keys]))
    return {event.key for event in await scope.all(statement)}
