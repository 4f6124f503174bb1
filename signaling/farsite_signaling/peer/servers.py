"""STUN and TURN servers as URLs (RFC 7064, RFC 7065), in the order they are worth trying."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from farsite_signaling.wire.ice import IceServer

MAX_SERVERS = 16
_URL = re.compile(
    r"(?P<scheme>stun|turns?):(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:?/@\s]+)(:(?P<port>\d{1,5}))?"
    r"(\?transport=(?P<transport>udp|tcp))?"
)


class RelayTransport(StrEnum):
    """How this end reaches its TURN server; the relay's far side is UDP always."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


PREFERENCE = (RelayTransport.UDP, RelayTransport.TCP, RelayTransport.TLS)


@dataclass(frozen=True)
class StunServer:
    host: str
    port: int


@dataclass(frozen=True)
class TurnServer:
    """`ca`: PEM to trust besides the system's, `None` for none."""

    host: str
    port: int
    transport: RelayTransport
    username: str
    credential: str = field(repr=False)
    ca: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.transport is RelayTransport.TLS:
            return f"turns:{host}:{self.port}?transport=tcp"
        return f"turn:{host}:{self.port}?transport={self.transport}"


def parse_servers(servers: Iterable[IceServer]) -> tuple[list[StunServer], list[TurnServer]]:
    """What can be used of them, without doubles, the best transport first. Unknown schemes are passed over."""
    stun: dict[StunServer, None] = {}
    turn: dict[TurnServer, None] = {}
    for server in servers:
        for url in server.urls:
            match parse_url(url, server):
                case StunServer() as found:
                    stun[found] = None
                case TurnServer() as found:
                    turn[found] = None
    ordered = sorted(turn, key=lambda server: PREFERENCE.index(server.transport))
    return list(stun)[:MAX_SERVERS], ordered[:MAX_SERVERS]


def parse_url(url: str, server: IceServer) -> StunServer | TurnServer | None:
    match = _URL.fullmatch(url)
    if match is None:
        return None
    secure = match["scheme"] == "turns"
    host = match["host"].strip("[]")
    port = int(match["port"] or (5349 if secure else 3478))
    if not 0 < port < 65536:
        return None
    if match["scheme"] == "stun":
        return StunServer(host, port)
    transport = match["transport"] or ("tcp" if secure else "udp")
    if secure and transport == "udp":  # TURN over DTLS: not spoken here
        return None
    kind = RelayTransport.TLS if secure else RelayTransport(transport)
    return TurnServer(host, port, kind, server.username or "", server.credential or "", server.ca)
