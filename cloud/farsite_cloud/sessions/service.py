"""Sessions: granted, live, ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select

from farsite_cloud.accounts.tokens import Caller
from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.clients.service import client_name
from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import edge_name
from farsite_cloud.ids import new_id
from farsite_cloud.sessions.models import RemoteSession
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.rights import Right, Role

TO_OPEN = timedelta(minutes=5)
LONGEST = timedelta(hours=12)


def start_session(
    scope: Scope,
    edge: EdgeHost,
    client: ClientDevice,
    caller: Caller,
    now: datetime,
    longest: datetime | None = None,
) -> RemoteSession:
    """Live for twelve hours, or until `longest` if that comes first."""
    until = now + LONGEST
    session = RemoteSession(
        id=new_id(now),
        edge_host_id=edge.id,
        client_device_id=client.id,
        account_id=caller.account_id,
        token_id=caller.token_id,
        created_at=now,
        until=until if longest is None else min(until, longest),
    )
    scope.add(session)
    return session


def grant_for(
    session: RemoteSession,
    edge: EdgeHost,
    client: ClientDevice,
    role: Role,
    rights: frozenset[Right],
    actor: str,
    now: datetime,
) -> Grant:
    """What the edge host will let the client do, on every device. `actor` is what its audit log says."""
    issued = int(now.timestamp())
    return Grant(
        iss=f"urn:farsite:{session.organization_id}",
        aud=str(edge_name(edge)),
        sub=str(client_name(client)),
        sid=session.id,
        org=session.organization_id,
        role=role,
        rights=rights,
        email=actor,
        iat=issued,
        nbf=issued,
        exp=int((now + TO_OPEN).timestamp()),
        until=int(session.until.timestamp()),
    )


def live_sessions(scope: Scope, now: datetime) -> Select[RemoteSession]:
    return scope.select(RemoteSession).where(RemoteSession.ended_at.is_(None), RemoteSession.until > now)


def is_live(session: RemoteSession | None, now: datetime) -> bool:
    return session is not None and session.ended_at is None and session.until > now


async def sessions_of_edge(scope: Scope, edge_id: str, ids: Sequence[str]) -> dict[str, RemoteSession]:
    """Those of the edge host among these, by id, live or not."""
    statement = scope.select(RemoteSession).where(
        RemoteSession.edge_host_id == edge_id, RemoteSession.id.in_(list(ids))
    )
    return {session.id: session for session in await scope.all(statement)}


async def live_session(scope: Scope, edge_id: str, client_id: str, now: datetime) -> RemoteSession | None:
    return await scope.first(
        live_sessions(scope, now)
        .where(RemoteSession.edge_host_id == edge_id, RemoteSession.client_device_id == client_id)
        .order_by(RemoteSession.id.desc())
    )


def end_session(session: RemoteSession, code: ErrorCode, now: datetime) -> None:
    if session.ended_at is None:
        session.ended_at = now
        session.end_code = code


async def end_sessions_of_edge(
    scope: Scope, edge_id: str, code: ErrorCode, now: datetime
) -> list[RemoteSession]:
    """The sessions that were live, now ended."""
    sessions = await scope.all(live_sessions(scope, now).where(RemoteSession.edge_host_id == edge_id))
    for session in sessions:
        end_session(session, code, now)
    return sessions
