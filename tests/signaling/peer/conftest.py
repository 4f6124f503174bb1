"""An organization with an edge host and a client, and a signaling connection between them that is only memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import trustme

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

    async def _dial(
        self, how: Callable[..., Awaitable[Any]], ticket: SessionTicket | None, **changes: Any
    ) -> Any:
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


# Real servers: coturn and squid, each with its own folder and ports.

SECRET = "a-secret-for-tests"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """A server process with its output in `folder`; ready when `port` accepts connections."""

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        self._log = (folder / "output.log").open("wb")
        self._path = folder / "output.log"
        self._port = port
        self._process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=subprocess.STDOUT)

    def wait_ready(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"server not ready:\n{self._path.read_text()[-3000:]}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@dataclass
class TurnService:
    """A running coturn; `server(...)` gives what the cloud would hand to a peer."""

    port: int
    tls_port: int
    ca: str

    def server(
        self, *schemes: str, secret: str = SECRET, expires: float = 3600.0, ca: bool = True
    ) -> IceServer:
        """`schemes`: `udp`, `tcp`, `tls`, `stun`."""
        urls = {
            "udp": f"turn:127.0.0.1:{self.port}?transport=udp",
            "tcp": f"turn:127.0.0.1:{self.port}?transport=tcp",
            "tls": f"turns:localhost:{self.tls_port}?transport=tcp",
            "stun": f"stun:127.0.0.1:{self.port}",
        }
        username = f"{int(time.time() + expires)}:s1"
        digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
        return IceServer(
            urls=[urls[scheme] for scheme in schemes],
            username=username,
            credential=base64.b64encode(digest).decode(),
            ca=self.ca if ca else None,
        )


@pytest.fixture(scope="session")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnService]:
    """coturn with REST credentials and its own CA, on loopback."""
    with _coturn(tmp_path_factory.mktemp("coturn"), "allow-loopback-peers") as service:
        yield service


@pytest.fixture(scope="session")
def strict_coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnService]:
    """The same, refusing to relay to loopback: every peer here."""
    with _coturn(tmp_path_factory.mktemp("strict-coturn")) as service:
        yield service


@contextlib.contextmanager
def _coturn(folder: Path, *extra: str) -> Iterator[TurnService]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "turn.pem"))
    service = TurnService(free_port(), free_port(), authority.cert_pem.bytes().decode())
    lines = [
        "listening-ip=127.0.0.1",
        "relay-ip=127.0.0.1",
        f"listening-port={service.port}",
        f"tls-listening-port={service.tls_port}",
        "min-port=49152",
        "max-port=65535",
        "use-auth-secret",
        f"static-auth-secret={SECRET}",
        "realm=farsite.test",
        "cert=turn.pem",
        "pkey=turn.pem",
        *extra,
        "no-cli",
        "no-dtls",
        "fingerprint",
        "pidfile=turn.pid",
        "userdb=turn.db",
        "log-file=stdout",
    ]
    (folder / "turnserver.conf").write_text("\n".join(lines) + "\n")
    daemon = Daemon(folder, [_program("turnserver"), "-c", str(folder / "turnserver.conf")], service.port)
    daemon.wait_ready()
    try:
        yield service
    finally:
        daemon.stop()


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is needed for these tests; install it (Debian: coturn, squid)"
    return found


@pytest.fixture(scope="session")
def squid() -> Iterator[int]:
    """A proxy that wants `edge` / `pass word` by Basic authentication; its port."""
    # Not in pytest's folder, which is closed to the user squid becomes when root starts it.
    folder = Path(tempfile.mkdtemp(prefix="squid-"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "proxy")
    port = free_port()
    checker = folder / "check"
    checker.write_text(
        "#!/bin/sh\n"
        "while read -r user password; do\n"
        '  if [ "$user $password" = "edge pass%20word" ]; then echo OK; else echo ERR; fi\n'
        "done\n"
    )
    checker.chmod(0o755)
    lines = [
        f"http_port 127.0.0.1:{port}",
        f"pid_filename {folder}/squid.pid",
        f"access_log stdio:{folder}/access.log",
        f"cache_log {folder}/cache.log",
        f"coredump_dir {folder}",
        "cache deny all",
        "shutdown_lifetime 0 seconds",
        f"auth_param basic program {checker}",
        "auth_param basic children 1",
        "acl known proxy_auth REQUIRED",
        "http_access allow known",
        "http_access deny all",
    ]
    (folder / "squid.conf").write_text("\n".join(lines) + "\n")
    # Its own service name: squid's shared memory is named after it.
    command = [_program("squid"), "-N", "-n", f"farsite{port}", "-f", str(folder / "squid.conf")]
    daemon = Daemon(folder, command, port)
    try:
        daemon.wait_ready()
        yield port
    finally:
        daemon.stop()
        shutil.rmtree(folder)
