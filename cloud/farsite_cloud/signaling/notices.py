"""What the cloud tells connected peers about their sessions."""

from __future__ import annotations

from collections.abc import Sequence

from farsite_cloud.services import Peers
from farsite_cloud.sessions.models import RemoteSession
from farsite_signaling.wire.errors import ErrorCode
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, EdgeId, EdgeName, OrgId


def ends_of(session: RemoteSession) -> tuple[str, str]:
    """URNs of the edge host and the client."""
    organization = OrgId(session.organization_id)
    client = ClientName(organization, AccountId(session.account_id), ClientId(session.client_device_id))
    return str(EdgeName(organization, EdgeId(session.edge_host_id))), str(client)


async def announce(peers: Peers, session: RemoteSession, ice_servers: list[IceServer]) -> bool:
    """False when the edge host is not connected."""
    edge, client = ends_of(session)
    message = SessionAnnounced(session=session.id, client=client, ice_servers=ice_servers)
    return await peers.notify(edge, message)


async def tell_ended(peers: Peers, sessions: Sequence[RemoteSession], code: ErrorCode, detail: str) -> None:
    for session in sessions:
        message = SessionEnded(session=session.id, code=code, detail=detail)
        for urn in ends_of(session):
            await peers.notify(urn, message)
