"""How a member wants to be told, and what the organization has set for all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from farsite_cloud.database import Scope
from farsite_cloud.ids import new_id
from farsite_cloud.notices.models import NoticeChoice, NoticeSettings
from farsite_cloud.notices.rules import RULES
from farsite_signaling.wire import notices_api as wire
from farsite_signaling.wire.notices_api import Channel, NoticeKind
from farsite_signaling.wire.rights import Right

OFFLINE_AFTER_MINUTES = 5
UNREACHABLE_DEVICES = 10


class Choices:
    """Of one member."""

    def __init__(self, scope: Scope, account_id: str, rights: frozenset[Right]) -> None:
        self._scope = scope
        self._account_id = account_id
        self._rights = rights

    async def all(self) -> dict[NoticeKind, set[Channel]]:
        """Of the kinds the member's role is told of."""
        chosen = {row.kind: row for row in await self._rows()}
        return {
            kind: {Channel(one) for one in chosen[kind].channels}
            if kind in chosen
            else rule.channels(self._rights)
            for kind, rule in RULES.items()
            if rule.right in self._rights
        }

    async def channels(self, kind: NoticeKind) -> set[Channel]:
        return (await self.all()).get(kind, set())

    async def choose(self, choices: Iterable[wire.NoticeChoice], now: datetime) -> None:
        chosen = {row.kind: row for row in await self._rows()}
        for choice in choices:
            channels = sorted(set(choice.channels))
            if choice.kind in chosen:
                chosen[choice.kind].channels = list(channels)
            else:
                row = NoticeChoice(id=new_id(now), account_id=self._account_id, kind=choice.kind)
                row.channels = list(channels)
                chosen[choice.kind] = row
                self._scope.add(row)

    async def _rows(self) -> list[NoticeChoice]:
        statement = self._scope.select(NoticeChoice)
        return await self._scope.all(statement.where(NoticeChoice.account_id == self._account_id))


async def settings_of(scope: Scope) -> NoticeSettings:
    """Those of the organization; not kept while they are the defaults."""
    found = await scope.first(scope.select(NoticeSettings))
    return found or NoticeSettings(
        offline_after_minutes=OFFLINE_AFTER_MINUTES, unreachable_devices=UNREACHABLE_DEVICES, revision=0
    )


async def change_settings(scope: Scope, change: wire.NoticeSettingsChange, now: datetime) -> NoticeSettings:
    settings = await settings_of(scope)
    if settings.revision == 0:
        settings.id = new_id(now)
        scope.add(settings)
    for name, value in change.model_dump(exclude_none=True).items():
        setattr(settings, name, value)
    settings.revision += 1
    return settings
