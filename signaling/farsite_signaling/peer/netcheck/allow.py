"""The lines an administrator pastes into a firewall request."""

from __future__ import annotations

from collections.abc import Iterable

from farsite_signaling.peer.netcheck.target import Target, host_and_port
from farsite_signaling.peer.servers import RelayTransport, StunServer, TurnServer
from farsite_signaling.wire.netcheck import AllowLine


def allow_list(target: Target, stun: Iterable[StunServer], turn: Iterable[TurnServer]) -> list[AllowLine]:
    """This deployment's, seen from this machine; with a proxy, TCP to other places is for the proxy to allow."""
    proxied = " (by the proxy)" if target.proxy is not None else ""
    found: dict[tuple[str, str, str], AllowLine] = {}
    if target.proxy is not None:
        _add(found, target.proxy.host, target.proxy.port, "tcp", "the site's proxy")
    _add(found, *target.cloud, "tcp", f"cloud: API and console{proxied}")
    _add(found, *host_and_port(target.hub), "tcp", f"signaling{proxied}")
    for server in turn:
        udp = server.transport is RelayTransport.UDP
        why = f"relay (TURN over {server.transport.upper()}){'' if udp else proxied}"
        _add(found, server.host, server.port, "udp" if udp else "tcp", why)
    for place in stun:
        _add(found, place.host, place.port, "udp", "STUN: direct paths")
    first, last = target.ports
    _add(found, "any", f"{first}-{last}", "udp", "direct paths between sites; without it they are relayed")
    return list(found.values())


def _add(
    found: dict[tuple[str, str, str], AllowLine], host: str, port: int | str, protocol: str, why: str
) -> None:
    line = AllowLine.model_validate({"host": host, "port": str(port), "protocol": protocol, "why": why})
    found.setdefault((host, str(port), protocol), line)
