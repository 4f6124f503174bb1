"""How this end of a tunnel reaches the other: settings of edge host and client alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from farsite_signaling.wire.ice import IceServer

FIRST_PORT = 49152
LAST_PORT = 65535


@dataclass(frozen=True)
class PeerOptions:
    """Times are seconds. The defaults suit production; tests and demos change addresses and limits.

    `proxy`: `http://user:password@host:port` or `socks5://…`, used for TURN over TCP and TLS.
    `turn_ca`: PEM text or a file with certificates to trust for `turns:` besides the system's.
    `ports`: first and last local UDP port, both included; host candidates and TURN clients stay inside.
    `loopback`: also offer loopback addresses (a machine with no other address always does).
    `addresses`: offer these local addresses and no others.
    `relay_only`: hide every address but a TURN server's.
    `direct_only`: use no relay, ours or the other side's.
    `ice_servers`: used besides those that come with a session.
    `relay_hold`: how long a relay that answers waits for direct paths; `early_relay_hold`: the same where streams
    can move to a direct path later, which is looked for `direct_delay` after a relay was settled for.
    `network_memory`: a file that remembers which networks let no UDP through, so that their relays are asked at once.
    `resume_timeout`: how long streams wait for another link when theirs is lost; 0: they end with it.
    """

    proxy: str | None = None
    turn_ca: str | None = None
    ports: tuple[int, int] = (FIRST_PORT, LAST_PORT)
    loopback: bool = False
    addresses: tuple[str, ...] | None = None
    relay_only: bool = False
    direct_only: bool = False
    ice_servers: tuple[IceServer, ...] = ()
    open_timeout: float = 20.0
    gather_timeout: float = 8.0
    relay_hold: float = 0.4
    early_relay_hold: float = 0.05
    direct_delay: float = 1.0
    direct_timeout: float = 5.0
    network_memory: str | None = None
    resume_timeout: float = 120.0
    close_timeout: float = 3.0
    max_sessions: int = 64
    max_half_open: int = 8
    clock: Callable[[], float] = time.time
