"""Edge hosts on the local network: finding them, and speaking to them over mutual TLS.

Answers to a discovery are anybody's word. They become trust only in the TLS handshake: an unclaimed edge host must
show the certificate whose fingerprint it announced, a claimed one a certificate of our own organization.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from farsite_client.edge import EdgeClient
from farsite_client.http import failures, parse, raise_for_problem, read_limited
from farsite_client.profile import IDENTITY_FOLDER, Profile
from farsite_signaling.identity import OrganizationTrust, fingerprint
from farsite_signaling.identity.identity import CERTIFICATE_FILE, KEY_FILE
from farsite_signaling.wire.edge_api import EdgeInfo
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import EdgeName
from farsite_signaling.wire.lan import LAN_GROUP, LAN_PORT, MAX_ANSWER, make_query, parse_answer

HTTP_PORT = 37080
INFO_PATH = "/info"
MAX_FOUND = 1000
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)
CertificateCheck = Callable[[x509.Certificate], None]


@dataclass(frozen=True)
class FoundEdge:
    """An edge host's own word about itself, and the address it came from."""

    address: str
    info: EdgeInfo


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, token: str) -> None:
        self._token = token
        self.found: dict[tuple[str, str], FoundEdge] = {}

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if len(data) > MAX_ANSWER or len(self.found) >= MAX_FOUND:
            return
        try:
            answer = parse_answer(data)
        except FarsiteError:
            return
        if answer.token == self._token:
            self.found[answer.info.id, addr[0]] = FoundEdge(addr[0], answer.info)

    def error_received(self, exc: Exception) -> None:
        """A host that refuses the query is one that is not found."""


async def discover(
    *, timeout: float = 2.0, group: str = LAN_GROUP, port: int = LAN_PORT, interface: str | None = None
) -> list[FoundEdge]:
    """Ask the network once and once again, and return who answered within `timeout` seconds.

    `group` may be one host's address; `interface` is the local address to send multicast from.
    """
    token = secrets.token_hex(8)
    transport, listener = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Listener(token), sock=_socket(interface)
    )
    try:
        for _ in range(2):  # datagrams get lost
            transport.sendto(make_query(token), (group, port))
            await asyncio.sleep(timeout / 2)
    except OSError as error:
        raise FarsiteError(
            ErrorCode.UNAVAILABLE, f"This machine cannot ask the network: {error.strerror}."
        ) from None
    finally:
        transport.close()
    return _unique(list(listener.found.values()))


def _unique(found: list[FoundEdge]) -> list[FoundEdge]:
    by_id: dict[str, FoundEdge] = {}
    for edge in found:
        by_id.setdefault(edge.info.id, edge)
    return sorted(by_id.values(), key=lambda edge: (edge.info.name, edge.address))


def _socket(interface: str | None) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    if interface is not None:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
    sock.bind((interface or "", 0))
    return sock


async def ask_info(address: str, port: int = HTTP_PORT) -> FoundEdge:
    """What the edge host at this address says of itself over HTTP. Raises `peer_unreachable`."""
    asked = f"The edge host at {address}"
    async with (
        failures(asked, ErrorCode.PEER_UNREACHABLE),
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
        session.get(f"http://{in_url(address)}:{port}{INFO_PATH}", allow_redirects=False) as response,
    ):
        await raise_for_problem(response, asked)
        return FoundEdge(address, parse(EdgeInfo, await read_limited(response, 64 * 1024), asked))


def with_port(address: str, port: int = HTTP_PORT) -> tuple[str, int]:
    """`192.168.1.20`, `192.168.1.20:27080`, `fd00::5`, `[fd00::5]:27080`. Raises `invalid_request`."""
    host, colon, number = address.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return address.strip("[]"), port
    if not number.isascii() or not number.isdecimal() or not 0 < int(number) < 65536:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{number[:20]!r} is no port (1 to 65535).")
    return host.strip("[]"), int(number)


def in_url(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


class CheckedConnector(aiohttp.TCPConnector):
    """TLS whose certificate is judged by `check` before the first byte of a request is sent."""

    def __init__(self, check: CertificateCheck, context: ssl.SSLContext) -> None:
        super().__init__(ssl=context)
        self._check = check

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        protocol = await super()._create_connection(req, traces, timeout)
        try:
            self._check(_peer_certificate(protocol))
        except BaseException:
            protocol.close()
            raise
        return protocol


def _peer_certificate(protocol: ResponseHandler) -> x509.Certificate:
    transport = protocol.transport
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    data = None if tls is None else tls.getpeercert(binary_form=True)
    if not data:
        raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, "The edge host shows no certificate.")
    try:
        return x509.load_der_x509_certificate(data)
    except ValueError:
        raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, "The edge host's certificate is damaged.") from None


def pinned(expected: str) -> CertificateCheck:
    """Accept the one certificate with this SHA-256 fingerprint (colon hex)."""

    def check(certificate: x509.Certificate) -> None:
        if fingerprint(certificate) != expected.upper():
            raise FarsiteError(
                ErrorCode.FINGERPRINT_MISMATCH,
                "The edge host's HTTPS API shows another certificate than the edge host announced: something may "
                f"stand between. Announced: {expected}; shown: {fingerprint(certificate)}.",
            )

    return check


def of_organization(trust: OrganizationTrust, edge: str) -> CertificateCheck:
    """Accept the certificate the organization's authority gave the edge host with the id `edge`."""

    def check(certificate: x509.Certificate) -> None:
        name, _ = trust.verify(certificate.public_bytes(Encoding.PEM).decode())
        if not isinstance(name, EdgeName) or name.edge != edge:
            raise FarsiteError(
                ErrorCode.CERTIFICATE_INVALID, f"Another edge host answers there ({name}), not {edge}."
            )

    return check


def tls_context(profile: Profile | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer; with `profile`, this machine's certificate is shown.

    The certificate of the other side is judged by `CheckedConnector`: it carries a Farsite name, not a host name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if profile is not None:
        folder = profile.home / IDENTITY_FOLDER
        context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    return context


@asynccontextmanager
async def open_unclaimed(found: FoundEdge) -> AsyncIterator[EdgeClient]:
    """The API of an edge host that belongs to nobody yet."""
    connector = CheckedConnector(pinned(found.info.fingerprint), tls_context())
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        base = f"https://{in_url(found.address)}:{found.info.https_port}"
        yield EdgeClient(session, base=base, name=f"The edge host at {found.address}")


@asynccontextmanager
async def open_claimed(
    profile: Profile, address: str, port: int, *, edge: str, grant: str
) -> AsyncIterator[EdgeClient]:
    """The API of one of our edge hosts over the LAN, with a session's grant."""
    check = of_organization(profile.trust(), edge)
    connector = CheckedConnector(check, tls_context(profile))
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        yield EdgeClient(
            session,
            base=f"https://{in_url(address)}:{port}",
            name=f"The edge host at {address}",
            headers={"Authorization": f"Farsite-Grant {grant}"},
        )
