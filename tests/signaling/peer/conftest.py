"""An organization with an edge host and a client, and a signaling connection between them that is only memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from farsite_signaling.identity import (
    CertificateAuthority,
    Identity,
    OrganizationTrust,
    generate_key,
    make_request,
    sign_grant,
)
from farsite_signaling.peer.dialer import open_link, open_tunnel
from farsite_signaling.peer.listener import TunnelListener
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.router import EnvelopeRouter
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.peer.tunnel import Tunnel
from farsite_signaling.wire.cloud_api import SessionTicket
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, EdgeId, EdgeName, OrgId, PeerName
from farsite_signaling.wire.rights import Role, rights_of
from farsite_signaling.wire.stream import OpenRequest

LOCAL = PeerOptions(addresses=("127.0.0.1",), open_timeout=10.0)


class Organization:
    """A CA, an edge host, a client, and the cloud's grant key."""

    def __init__(self, name: str = "acme") -> None:
        self.name = name
        self.authority = CertificateAuthority.create(name)
        self.trust = OrganizationTrust(self.authority.pem)
        self.grant_key = generate_key()
        self.edge = self.issue(EdgeName(OrgId(name), EdgeId("edge1")))
        self.client = self.issue(ClientName(OrgId(name), AccountId("ann"), ClientId("laptop")))

    def issue(self, name: PeerName) -> Identity:
        key = generate_key()
        return Identity.from_pem(key, self.authority.issue(make_request(key, "test"), name))

    def grant(self, session: str = "s1", now: float | None = None, **changes: Any) -> str:
        """A signed grant; `changes` replace claims."""
        issued = int(now if now is not None else time.time())
        claims: dict[str, Any] = {
            "iss": "cloud",
            "aud": self.edge.urn,
            "sub": self.client.urn,
            "sid": session,
            "org": self.name,
            "role": Role.ADMIN,
            "rights": rights_of(Role.ADMIN),
            "iat": issued,
            "nbf": issued,
            "exp": issued + 60,
            "until": issued + 3600,
        }
        return sign_grant(self.grant_key, Grant.model_validate(claims | changes))

    def ticket(
        self, session: str = "s1", grant: str | None = None, servers: list[IceServer] | None = None
    ) -> SessionTicket:
        now = datetime.now(UTC)
        return SessionTicket(
            session=session,
            grant=grant if grant is not None else self.grant(session),
            edge=self.edge.urn,
            edge_name="Edge 1",
            hub_url="memory:",
            ice_servers=servers or [],
            expires_at=now + timedelta(hours=1),
            server_time=now,
        )


@pytest.fixture(scope="session")
def acme() -> Organization:
    return Organization()


@pytest.fixture(scope="session")
def rival() -> Organization:
    """Another organization whose edge host and client carry the same names."""
    return Organization("acme")


Tamper = Callable[[EnvelopeMessage], EnvelopeMessage | Undeliverable | None]


@dataclass
class Wire:
    """Both ends' routers; `to_edge` and `to_client` may change, drop (`None`) or answer what passes."""

    to_edge: Tamper = lambda message: message
    to_client: Tamper = lambda message: message
    seen_by_edge: list[EnvelopeMessage] = field(default_factory=list)
    seen_by_client: list[EnvelopeMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = EnvelopeRouter(self._from_client)
        self.edge = EnvelopeRouter(self._from_edge)

    async def _from_client(self, message: EnvelopeMessage) -> None:
        self.seen_by_edge.append(message)
        self._pass(self.to_edge(message), self.edge, self.client)

    async def _from_edge(self, message: EnvelopeMessage) -> None:
        self.seen_by_client.append(message)
        self._pass(self.to_client(message), self.client, self.edge)

    def _pass(
        self, message: EnvelopeMessage | Undeliverable | None, onward: EnvelopeRouter, back: EnvelopeRouter
    ) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(message, Undeliverable):
            loop.call_soon(back.receive, message)
        elif message is not None:
            loop.call_soon(onward.receive, message)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def eof_received(self) -> bool:
        self._transport.write_eof()
        return True


class EchoAcceptor:
    async def accept(self, tunnel: Tunnel, request: OpenRequest) -> Callable[[], asyncio.BaseProtocol]:
        return Echo


class Site:
    """A listening edge host and what it reported; `dial` opens a tunnel to it."""

    def __init__(self, organization: Organization, options: PeerOptions, client: PeerOptions) -> None:
        self.organization = organization
        self.wire = Wire()
        self.client_options = client
        self.opened: list[Tunnel] = []
        self.closed: asyncio.Queue[tuple[Tunnel, FarsiteError | None]] = asyncio.Queue()
        self.refused: list[tuple[FarsiteError, str, str]] = []
        self.denial: FarsiteError | None = None
        self.listener = TunnelListener(
            identity=organization.edge,
            trust=organization.trust,
            grant_key=organization.grant_key.public_key(),
            acceptor=EchoAcceptor(),
            admit=self._admit,
            options=options,
            router=self.wire.edge,
            on_opened=self.opened.append,
            on_closed=lambda tunnel, error: self.closed.put_nowait((tunnel, error)),
            on_refused=lambda error, sender, session: self.refused.append((error, sender, session)),
        )

    def _admit(self, grant: Grant) -> None:
        if self.denial is not None:
            raise self.denial

    async def __aenter__(self) -> Self:
        await self.listener.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.listener.__aexit__(*error)

    async def dial(self, ticket: SessionTicket | None = None, **changes: Any) -> Tunnel:
        return await self._dial(open_tunnel, ticket, **changes)

    async def dial_link(self, ticket: SessionTicket | None = None, **changes: Any) -> RtcLink:
        return await self._dial(open_link, ticket, **changes)

    async def _dial(self, how: Callable[..., Awaitable[Any]], ticket: SessionTicket | None, **changes: Any) -> Any:
        arguments = {
            "identity": self.organization.client,
            "trust": self.organization.trust,
            "router": self.wire.client,
            "options": self.client_options,
        }
        return await how(ticket or self.organization.ticket(), **(arguments | changes))


@pytest.fixture
async def start_site(acme: Organization) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """`await start_site(edge=PeerOptions(…), client=PeerOptions(…))` gives a listening `Site`."""
    sites: list[Site] = []

    async def start(edge: PeerOptions = LOCAL, client: PeerOptions = LOCAL) -> Site:
        site = Site(acme, edge, client)
        sites.append(await site.__aenter__())
        return site

    yield start
    for site in sites:
        await site.__aexit__(None, None, None)
