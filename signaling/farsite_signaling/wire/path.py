"""How two peers reach one another, as shown to users."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Path(StrEnum):
    """`lan`: both in one network; `direct`: through NATs; `relay-…`: how this end reaches its TURN server."""

    LAN = "lan"
    DIRECT = "direct"
    RELAY_UDP = "relay-udp"
    RELAY_TCP = "relay-tcp"
    RELAY_TLS = "relay-tls"
    NONE = "none"

    @property
    def relayed(self) -> bool:
        return self in (Path.RELAY_UDP, Path.RELAY_TCP, Path.RELAY_TLS)


class TunnelStatus(BaseModel):
    """One tunnel as `farsite status` shows it. `rtt_ms` is the last heartbeat's round trip.

    `moves`: how often its streams went over to another link; `last_move`: why they did, last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    session: str
    remote: str
    path: Path
    reason: str
    rtt_ms: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    streams: int = 0
    since: datetime | None = None
    last_error: str | None = None
    moves: int = 0
    last_move: str | None = None
