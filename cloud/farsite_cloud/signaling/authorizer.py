"""The hub's questions, answered from the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel

from farsite_cloud.audit.log import keep_reported
from farsite_cloud.clock import Clock
from farsite_cloud.database import Database, Scope
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.inventory.ingest import receive
from farsite_cloud.notices.events import emit
from farsite_cloud.notices.storage import storage_reported
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.sessions.service import is_live, live_session, sessions_of_edge
from farsite_cloud.signaling.admission import Known, claimed_name, find_peers, judge
from farsite_cloud.signaling.batches import Batches
from farsite_cloud.signaling.presence import Changes, keep_presence
from farsite_cloud.signaling.reports import keep_quiet
from farsite_cloud.work.reports import edges_changed, keep_report
from farsite_signaling.identity.certificates import public_key_of
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Hello, Report, SessionEnded
from farsite_signaling.wire.ids import ClientName, EdgeName, PeerName, parse_name
from farsite_signaling.wire.inventory import InventoryDelta
from farsite_signaling.wire.notices_api import NoticeKind
from farsite_signaling.wire.work import WorkReport

logger = logging.getLogger(__name__)


class CloudAuthorizer:
    """Implements `farsite_signaling.hub.Authorizer`."""

    def __init__(
        self, database: Database, clock: Clock, wake: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._wake = wake
        self._database = database
        self._clock = clock
        # Set when what they belong to is there; a report is taken whether or not they succeed.
        self.on_reported: Callable[[EdgeName], Awaitable[None]] = _nothing
        self.on_counted: Callable[[EdgeName], None] = lambda _name: None
        self.on_left: Callable[[EdgeName], None] = lambda _name: None
        self._found: Batches[PeerName, Known] = Batches(self._find)
        self._kept: Batches[tuple[EdgeName, bool], None] = Batches(self._keep)
        self._quiet: Batches[tuple[EdgeName, Report], bool] = Batches(self._keep_quiet)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """To be entered before anybody asks: peers come by the hundred when a process ends."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._found.run(), name="peers looked up"),
                group.create_task(self._kept.run(), name="presence kept"),
                group.create_task(self._quiet.run(), name="quiet reports kept"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def authenticate(self, hello: Hello) -> ec.EllipticCurvePublicKey:
        known = await self._found.ask(claimed_name(hello.certificate))
        name, certificate = judge(hello.certificate, known, self._clock())
        if str(name) != hello.name:
            detail = "The certificate is for another name than the one given."
            raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, detail)
        return public_key_of(certificate)

    async def _find(self, names: Mapping[int, PeerName]) -> Mapping[int, Known]:
        async with self._database.reading() as session:
            return await find_peers(session, names)

    async def may_deliver(self, sender: str, recipient: str) -> None:
        """Only between an edge host and a client of one organization that have a live session with each other."""
        first, second = parse_name(sender), parse_name(recipient)
        match (first, second):
            case (EdgeName() as edge, ClientName() as client) | (ClientName() as client, EdgeName() as edge):
                await self._check_session(edge, client)
            case _:
                raise _no_session()

    async def _check_session(self, edge: EdgeName, client: ClientName) -> None:
        if edge.org != client.org:
            raise _no_session()
        async with self._database.reading() as session:
            scope = Scope(session, edge.org)
            found = await live_session(scope, edge.edge, client.client, self._clock())
        if found is None or found.account_id != client.account:
            raise _no_session()

    async def report_received(self, name: str, report: Report) -> None:
        peer = parse_name(name)
        if not isinstance(peer, EdgeName):
            raise FarsiteError(ErrorCode.FORBIDDEN, "Only edge hosts report.")
        if not await self._quiet.ask((peer, report)):
            await self._keep_report(peer, report)
        try:
            await self.on_reported(peer)
        except FarsiteError as error:
            logger.error("%s: %s", name, error)

    async def _keep_report(self, peer: EdgeName, report: Report) -> None:
        now = self._clock()
        async with self._database.writing() as session:
            scope = Scope(session, peer.org)
            news = await EdgeHosts(scope).reported(peer.edge, report, now)
            if news.switched:
                await edges_changed(scope, [peer.edge], now)
                await self._tell_switched(scope, peer.edge, report, now)
            await storage_reported(scope, peer.edge, report, now)
            keep_reported(scope, peer.edge, report.audit, now)
        if news.switched:
            await self._look()
        if news.counted:
            self.on_counted(peer)

    async def _keep_quiet(self, reports: Mapping[int, tuple[EdgeName, Report]]) -> Mapping[int, bool]:
        return await keep_quiet(self._database, reports, self._clock())

    async def _tell_switched(self, scope: Scope, edge_id: str, report: Report, now: datetime) -> None:
        if report.remote_access:
            edge = await EdgeHosts(scope).get(edge_id)
            text = f"Remote access to the edge host {edge.name!r} is active."
            key = f"remote access {edge_id} {now.isoformat()}"
            kind = NoticeKind.REMOTE_ACCESS_ACTIVE
            await emit(scope, kind, text, key=key, now=now, edge_host_id=edge_id)

    async def work_reported(self, name: str, report: WorkReport) -> None:
        peer = parse_name(name)
        if not isinstance(peer, EdgeName):
            raise FarsiteError(ErrorCode.FORBIDDEN, "Only edge hosts report.")
        async with self._database.writing() as session:
            await keep_report(Scope(session, peer.org), peer.edge, report, self._clock())
        await self._look()

    async def sessions_ended(self, name: str, held: Sequence[str]) -> list[SessionEnded]:
        """One that is not known is over as well."""
        peer = parse_name(name)
        if not isinstance(peer, EdgeName):
            raise FarsiteError(ErrorCode.FORBIDDEN, "Only edge hosts ask for this.")
        async with self._database.reading() as session:
            known = await sessions_of_edge(Scope(session, peer.org), peer.edge, held)
        now = self._clock()
        return [_ended(key, known.get(key)) for key in held if not is_live(known.get(key), now)]

    async def inventory_received(self, name: str, delta: InventoryDelta) -> Sequence[BaseModel]:
        peer = parse_name(name)
        if not isinstance(peer, EdgeName):
            raise FarsiteError(ErrorCode.FORBIDDEN, "Only edge hosts have an inventory.")
        async with self._database.writing() as session:
            return await receive(Scope(session, peer.org), peer.edge, delta, self._clock())

    async def _look(self) -> None:
        """What waited for this goes on at once."""
        if self._wake is not None:
            await self._wake()

    async def presence_changed(self, name: str, online: bool) -> None:
        logger.info("%s is %s", name, "online" if online else "offline")
        peer = parse_name(name)
        if isinstance(peer, EdgeName):
            if not online:
                self.on_left(peer)
            await self._kept.ask((peer, online))

    async def _keep(self, changes: Changes) -> Mapping[int, FarsiteError | None]:
        answers, concerned = await keep_presence(self._database, changes, self._clock())
        if concerned:
            await self._look()
        return answers


def _ended(key: str, session: RemoteSession | None) -> SessionEnded:
    code = session.end_code if session is not None and session.end_code else ErrorCode.SESSION_ENDED
    detail = "The session ended while this edge host was not connected to the cloud."
    return SessionEnded(session=key, code=code, detail=detail)


async def _nothing(_name: EdgeName) -> None:
    pass


def _no_session() -> FarsiteError:
    return FarsiteError(ErrorCode.SESSION_ENDED, "There is no live session between these two.")
