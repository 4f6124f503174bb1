"""Asking for a session with an edge host, and ending it."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from farsite_cloud.api.authorize import demand, stand_fast
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.audit.log import REFUSED, Act, write
from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.clients.service import own_client
from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts, edge_name
from farsite_cloud.licences.gate import standing_of
from farsite_cloud.licences.statements import claims_for
from farsite_cloud.sessions.models import RemoteSession
from farsite_cloud.sessions.service import TO_OPEN, end_session, grant_for, start_session
from farsite_cloud.signaling.notices import announce, ends_of, tell_ended
from farsite_signaling.rest import Api
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.rights import Right

api = Api()


@api.route(
    "POST",
    "/organizations/{org}/edge-hosts/{edge}/sessions",
    need=Right.REMOTE_ACCESS,
    request=wire.SessionRequest,
    response=wire.SessionTicket,
    status=201,
    errors=(ErrorCode.EDGE_OFFLINE, ErrorCode.CERTIFICATE_REVOKED),
)
async def open_session(request: web.Request, body: wire.SessionRequest) -> wire.SessionTicket:
    """Grant a session with an edge host: all a client needs to open a tunnel."""
    call = call_of(request)
    with call.act("session.granted", request.match_info["edge"]) as act:
        await stand_fast(request, Right.REMOTE_ACCESS)
        edge = await EdgeHosts(call.scope).get(request.match_info["edge"])
        act.target = str(edge_name(edge))
        client = await own_client(call.scope, body.client, call.caller.account_id)
        if not call.services.peers.online(act.target):
            raise _offline(call, edge)
        session = start_session(call.scope, edge, client, call.caller, call.now, _longest(call))
        act.session = session.id
        act.details |= {"client": body.client, "role": call.role}
        grant = await _grant(call, session, edge, client)
        servers = call.services.relay.ice_servers(session.id, call.now.timestamp())
        ticket = _ticket(call, session, edge, call.keys.sign_grant(grant), servers)
    call.later(lambda: _announce(call, session, edge, servers, act))
    return ticket


def _longest(call: Call) -> datetime | None:
    """No session outlasts what it was asked for with."""
    ends = [end for end in (call.entrance.until, call.caller.expires_at) if end is not None]
    return min(ends, default=None)


async def _grant(call: Call, session: RemoteSession, edge: EdgeHost, client: ClientDevice) -> Grant:
    rights = call.entrance.may_in_session(call.caller)
    grant = grant_for(session, edge, client, call.role, rights, call.actor, call.now)
    licence = claims_for(await standing_of(call), call.organization.id, edge.id, call.now)
    return grant.model_copy(update={"licence": licence})


def _ticket(
    call: Call, session: RemoteSession, edge: EdgeHost, grant: str, servers: list[IceServer]
) -> wire.SessionTicket:
    return wire.SessionTicket(
        session=session.id,
        grant=grant,
        edge=str(edge_name(edge)),
        edge_name=edge.name,
        hub_url=call.services.urls.hub,
        ice_servers=servers,
        expires_at=session.until,
        server_time=call.now,
        opens_until=call.now + TO_OPEN,
        ice_expires_at=call.services.relay.credentials_until(call.now) if servers else None,
    )


async def _announce(
    call: Call, session: RemoteSession, edge: EdgeHost, servers: list[IceServer], act: Act
) -> None:
    """The edge host knows of the session before the client does; one that just left has none."""
    if await announce(call.services.peers, session, servers):
        return
    async with call.services.database.writing() as unit:
        row = await Scope(unit, session.organization_id).get(RemoteSession, session.id, "session")
        end_session(row, ErrorCode.EDGE_OFFLINE, call.services.clock())
        refusal = Act("session.granted", act.actor, act.source, act.organizations, act.target, session.id)
        refusal.outcome, refusal.details = REFUSED, {"code": str(ErrorCode.EDGE_OFFLINE)}
        write(unit, refusal, call.services.clock())
    raise _offline(call, edge)


def _offline(call: Call, edge: EdgeHost) -> FarsiteError:
    """Or not known to be online, while other processes cannot be asked."""
    if call.services.peers.partial:
        detail = f"The cloud's Redis does not answer, and the edge host {edge.name!r} is not connected here. Try again."
        return FarsiteError(ErrorCode.UNAVAILABLE, detail, retry_after=2)
    seen = f" It was last seen {edge.last_seen:%Y-%m-%d %H:%M} UTC." if edge.last_seen else ""
    detail = f"The edge host {edge.name!r} is not connected to the cloud.{seen}"
    return FarsiteError(ErrorCode.EDGE_OFFLINE, detail)


@api.route(
    "POST",
    "/organizations/{org}/sessions/{session}/renewal",
    need=Right.REMOTE_ACCESS,
    response=wire.SessionTicket,
    status=201,
    errors=(ErrorCode.SESSION_ENDED, ErrorCode.EDGE_OFFLINE, ErrorCode.CERTIFICATE_REVOKED),
)
async def renew_session(request: web.Request) -> wire.SessionTicket:
    """A fresh grant and relay credentials for one's own live session: its tunnel needs another link."""
    call = call_of(request)
    with call.act("session.renewed", request.match_info["session"]) as act:
        await stand_fast(request, Right.REMOTE_ACCESS)
        session = await call.scope.get(RemoteSession, request.match_info["session"], "session")
        if session.account_id != call.caller.account_id:
            raise FarsiteError(ErrorCode.NOT_FOUND, "There is no such session of yours.")
        act.session = session.id
        if session.ended_at is not None or session.until <= call.now:
            raise FarsiteError(ErrorCode.SESSION_ENDED, "The session is over; open a new one.")
        edge_urn, client_urn = ends_of(session)
        edge = await EdgeHosts(call.scope).get(session.edge_host_id)
        client = await own_client(call.scope, client_urn, call.caller.account_id)
        act.target = edge_urn
        act.details |= {"client": client_urn, "role": call.role}
        grant = await _grant(call, session, edge, client)
        servers = call.services.relay.ice_servers(session.id, call.now.timestamp())
        ticket = _ticket(call, session, edge, call.keys.sign_grant(grant), servers)
    call.later(lambda: _announce_again(call, session, edge, servers))
    return ticket


async def _announce_again(
    call: Call, session: RemoteSession, edge: EdgeHost, servers: list[IceServer]
) -> None:
    """The edge host needs fresh credentials too. That it is away for a while does not end the session."""
    if not await announce(call.services.peers, session, servers):
        raise _offline(call, edge)


@api.route("DELETE", "/organizations/{org}/sessions/{session}", need=Right.REMOTE_ACCESS)
async def close_session(request: web.Request) -> None:
    """End a session: its tunnel closes at both ends. Those of others need `edge.manage`."""
    call = call_of(request)
    with call.act("session.ended", request.match_info["session"]) as act:
        session = await call.scope.get(RemoteSession, request.match_info["session"], "session")
        act.session = session.id
        if session.account_id != call.caller.account_id:
            demand(call, Right.EDGE_MANAGE)
        end_session(session, ErrorCode.SESSION_ENDED, call.now)
    detail = f"Ended by {call.actor}."
    call.later(lambda: tell_ended(call.services.peers, [session], ErrorCode.SESSION_ENDED, detail))
