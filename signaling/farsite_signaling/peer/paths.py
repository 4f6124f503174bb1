"""Names for the way two peers found to one another, and why it is no shorter one."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from farsite_signaling.peer.servers import RelayTransport
from farsite_signaling.wire.path import Path

if TYPE_CHECKING:
    from aioice import Candidate

    from farsite_signaling.peer.ice import IceConnection

_RELAYS = {
    RelayTransport.UDP: Path.RELAY_UDP,
    RelayTransport.TCP: Path.RELAY_TCP,
    RelayTransport.TLS: Path.RELAY_TLS,
}


def classify(ice: IceConnection) -> tuple[Path, str]:
    """The path of the selected pair and a sentence for people."""
    pair = ice.selected
    if pair is None:
        return Path.NONE, "not connected"
    local, remote = pair.local_candidate, pair.remote_candidate
    if local.type == "relay":
        server = getattr(pair.protocol, "relay_server", None)
        return _our_relay(ice, server.transport if server is not None else RelayTransport.UDP)
    if remote.type == "relay" or _is_their_relay(ice, remote):
        return Path.RELAY_UDP, "relay over UDP: the other side is relayed"
    if _same_network(local.host, remote.host, remote_type=remote.type):
        return Path.LAN, "lan: both sides are in one network"
    if remote.type == "host":
        return Path.DIRECT, "direct: both sides can be reached without a NAT"
    return Path.DIRECT, "direct: both NATs let UDP through"


def _is_their_relay(ice: IceConnection, remote: Candidate) -> bool:
    """A check from their relay may arrive before they tell us of it: it is a peer-reflexive candidate then."""
    known = [] if remote.type != "prflx" else ice.remote_candidates
    return any((c.type, c.host, c.port) == ("relay", remote.host, remote.port) for c in known)


def _our_relay(ice: IceConnection, transport: RelayTransport) -> tuple[Path, str]:
    through = " through the proxy" if ice.proxied and transport is not RelayTransport.UDP else ""
    if ice.relay_only:
        why = "set to use relays only"
    elif ice.report.udp_blocked:
        why = "UDP is blocked here"
    else:
        why = "the NATs or firewalls between let no direct packets through"
    return _RELAYS[transport], f"relay over {transport.upper()}{through}: {why}"


def _same_network(local: str, remote: str, *, remote_type: str) -> bool:
    ours, theirs = ipaddress.ip_address(local), ipaddress.ip_address(remote)
    if theirs.is_loopback or ours == theirs:
        return True
    bits = 24 if ours.version == 4 else 64
    near = theirs in ipaddress.ip_network(f"{ours}/{bits}", strict=False)
    return near or (remote_type == "host" and theirs.is_private)
