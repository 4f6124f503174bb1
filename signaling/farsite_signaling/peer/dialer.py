"""The client's side: open a tunnel to an edge host with a session ticket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from farsite_signaling.identity import Identity, OrganizationTrust
from farsite_signaling.peer.envelopes import ReplayCache
from farsite_signaling.peer.negotiation import Negotiation
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.wire.cloud_api import SessionTicket
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

if TYPE_CHECKING:
    from farsite_signaling.peer.tunnel import Tunnel


async def open_tunnel(
    ticket: SessionTicket,
    *,
    identity: Identity,
    trust: OrganizationTrust,
    router: EnvelopeRouter,
    options: PeerOptions,
) -> Tunnel:
    """A tunnel whose link stands; the caller enters it with `async with`.

    Raises `FarsiteError`: what the hub or the edge host refused with (`edge_offline`, `remote_access_off`, `grant_…`,
    `clock_skew` …), `peer_timeout` when the edge host does not answer, `peer_unreachable` saying what was tried,
    `turn_unavailable`, `proxy_authentication`, `proxy_unreachable`, or how verification failed.
    """
    from farsite_signaling.peer.tunnel import Tunnel

    link = await open_link(ticket, identity=identity, trust=trust, router=router, options=options)
    return Tunnel(link, session=ticket.session, remote=ticket.edge, initiator=True)


async def open_link(
    ticket: SessionTicket,
    *,
    identity: Identity,
    trust: OrganizationTrust,
    router: EnvelopeRouter,
    options: PeerOptions,
) -> RtcLink:
    """As `open_tunnel`, without the streams."""
    negotiation = Negotiation(
        router.conversation(ticket.session),
        identity=identity,
        trust=trust,
        remote=ticket.edge,
        servers=ticket.ice_servers,
        options=options,
        replays=ReplayCache(),
    )
    async with negotiation:
        try:
            async with asyncio.timeout(options.open_timeout):
                await negotiation.offer(ticket.grant)
                return await negotiation.connected()
        except TimeoutError:
            error = _too_late(negotiation, options.open_timeout)
        except FarsiteError as failure:
            error = failure
        await negotiation.abandon(error)
        raise error


def _too_late(negotiation: Negotiation, seconds: float) -> FarsiteError:
    if not negotiation.answered:
        return FarsiteError(
            ErrorCode.PEER_TIMEOUT,
            f"The edge host did not answer within {seconds:.0f} s. It may have just lost its connection to the "
            "cloud: try again.",
        )
    return negotiation.link.unreachable(f"No way to the edge host was found within {seconds:.0f} s.")
