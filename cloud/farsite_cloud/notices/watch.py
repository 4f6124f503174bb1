"""Edge hosts that stay away, come back, or whose certificates run out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.database import Scope
from farsite_cloud.database.scope import due_rows, owners_of
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.notices.choices import settings_of
from farsite_cloud.notices.events import emit, known
from farsite_cloud.notices.models import NoticeEvent
from farsite_cloud.services import Services
from farsite_signaling.wire.notices_api import NoticeKind

EVERY = timedelta(seconds=15)
CERTIFICATES_EVERY = timedelta(hours=1)
WARNED_BEFORE = timedelta(days=14)
LEAST = timedelta(minutes=1)
_PAGE = 500
_ABSENCE = (NoticeEvent.kind == NoticeKind.EDGE_OFFLINE, NoticeEvent.lasting.is_(True))
Rows = Sequence[tuple[str, str]]


class EdgeWatch:
    """A duty. What was seen before this process began may be gone because the cloud was: being away counts from its
    start at the earliest."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._since = services.clock()
        self._looked: datetime | None = None
        self._looked_at_certificates: datetime | None = None

    async def look(self) -> bool:
        now = self._services.clock()
        if self._looked is not None and now < self._looked + EVERY:
            return False
        self._looked = now
        if not self._services.peers.partial:
            await self._look_for_absent(now)
            await self._look_for_returned(now)
        if self._looked_at_certificates is None or now >= self._looked_at_certificates + CERTIFICATES_EVERY:
            self._looked_at_certificates = now
            await self._look_at_certificates(now)
        return False

    async def _look_for_absent(self, now: datetime) -> None:
        silent = (EdgeHost.revoked_at.is_(None), EdgeHost.last_seen < now - LEAST)
        for organization, ids in (await self._found(*silent)).items():
            async with self._services.database.reading() as session:
                absent = await self._absent(Scope(session, organization), ids, now)
            if absent:
                async with self._services.database.writing() as session:
                    await _tell_absent(Scope(session, organization), absent, now)

    async def _found(self, *conditions: object) -> dict[str, list[str]]:
        """Ids by organization."""
        found: dict[str, list[str]] = defaultdict(list)
        last = ""
        async with self._services.database.reading() as session:
            while rows := await self._page(session, last, conditions):
                for organization, edge in rows:
                    found[organization].append(edge)
                last = rows[-1][1]
        return found

    async def _page(self, session: AsyncSession, last: str, conditions: Sequence[object]) -> Rows:
        return await due_rows(session, EdgeHost, EdgeHost.id > last, *conditions, limit=_PAGE)  # type: ignore[arg-type]

    async def _absent(self, scope: Scope, ids: list[str], now: datetime) -> list[EdgeHost]:
        """Those that are away long enough and were not told of."""
        minutes = (await settings_of(scope)).offline_after_minutes
        edges = (await EdgeHosts(scope).by_id(ids)).values()
        away = [edge for edge in edges if self._is_away(edge, timedelta(minutes=minutes), now)]
        told = await known(scope, [_key(edge) for edge in away])
        return [edge for edge in away if _key(edge) not in told]

    def _is_away(self, edge: EdgeHost, limit: timedelta, now: datetime) -> bool:
        if edge.last_seen is None or self._services.peers.online(str(edge_name(edge))):
            return False
        return now - max(edge.last_seen, self._since) >= limit

    async def _look_for_returned(self, now: datetime) -> None:
        async with self._services.database.reading() as session:
            rows = await due_rows(session, NoticeEvent, *_ABSENCE, limit=10_000)
        for organization in {row[0] for row in rows}:
            async with self._services.database.writing() as session:
                scope = Scope(session, organization)
                await edges_are_back(scope, await self._returned(scope), now)

    async def _returned(self, scope: Scope) -> list[str]:
        lasting = await scope.all(scope.select(NoticeEvent).where(*_ABSENCE))
        edges = await EdgeHosts(scope).by_id([event.edge_host_id or "" for event in lasting])
        return [edge.id for edge in edges.values() if self._services.peers.online(str(edge_name(edge)))]

    async def _look_at_certificates(self, now: datetime) -> None:
        soon = (EdgeHost.revoked_at.is_(None), EdgeHost.certificate_expires_at < now + WARNED_BEFORE)
        for organization, ids in (await self._found(*soon)).items():
            async with self._services.database.writing() as session:
                scope = Scope(session, organization)
                for edge in (await EdgeHosts(scope).by_id(ids)).values():
                    await _tell_certificate(scope, edge, now)


def _key(edge: EdgeHost) -> str:
    """The same for one absence, however often it is looked at."""
    assert edge.last_seen is not None
    return f"offline {edge.id} {edge.last_seen.isoformat()}"


async def _tell_absent(scope: Scope, edges: list[EdgeHost], now: datetime) -> None:
    for edge in edges:
        await emit(
            scope,
            NoticeKind.EDGE_OFFLINE,
            f"The edge host {edge.name!r} is offline since {edge.last_seen:%Y-%m-%d %H:%M} UTC.",
            key=_key(edge),
            now=now,
            edge_host_id=edge.id,
            details={"name": edge.name},
            lasting=True,
        )


async def organizations_of_absent(session: AsyncSession, ids: Collection[str]) -> set[str]:
    """Those that were told, or are about to be told, that one of these edge hosts is away."""
    return set(await owners_of(session, NoticeEvent, NoticeEvent.edge_host_id.in_(sorted(ids)), *_ABSENCE))


async def edges_are_back(scope: Scope, ids: Collection[str], now: datetime) -> None:
    """An absence nobody was told of yet is not told of any more; the return is, when the absence was."""
    theirs = NoticeEvent.edge_host_id.in_(sorted(ids))
    events = await scope.all(scope.select(NoticeEvent).where(theirs, *_ABSENCE))
    edges = await EdgeHosts(scope).by_id([event.edge_host_id or "" for event in events])
    for event in events:
        event.lasting = False
        if event.due_at is not None:
            event.due_at = None
        elif (edge := edges.get(event.edge_host_id or "")) is not None:
            await _tell_return(scope, edge, event, now)


async def _tell_return(scope: Scope, edge: EdgeHost, event: NoticeEvent, now: datetime) -> None:
    text = f"The edge host {edge.name!r} is back."
    key, details = f"online {event.id}", {"name": edge.name}
    await emit(scope, NoticeKind.EDGE_ONLINE, text, key=key, now=now, edge_host_id=edge.id, details=details)


async def _tell_certificate(scope: Scope, edge: EdgeHost, now: datetime) -> None:
    ends = edge.certificate_expires_at
    assert ends is not None
    verb = "expires" if ends > now else "expired"
    await emit(
        scope,
        NoticeKind.CERTIFICATE_EXPIRING,
        f"The certificate of the edge host {edge.name!r} {verb} at {ends:%Y-%m-%d %H:%M} UTC and was not renewed.",
        key=f"certificate {edge.id} {ends.isoformat()}",
        now=now,
        edge_host_id=edge.id,
        details={"name": edge.name},
    )
