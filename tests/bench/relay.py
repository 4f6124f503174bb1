"""A relay on loopback for benchmarks."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from farsite_cloud.turn.certificate import ensure_certificate
from farsite_cloud.turn.config import TurnSettings
from farsite_signaling.peer.addresses import own_addresses

HOST = "127.0.0.1"


def turn_settings(folder: Path) -> TurnSettings:
    """UDP and TCP on one port, TLS on another, with a certificate of its own authority."""
    certificate = ensure_certificate(folder / "tls", HOST)
    return TurnSettings(
        host=HOST,
        secrets=("secret-of-the-bench",),
        listening_ips=(HOST,),
        port=_free_port(),
        tls_port=_free_port(),
        alt_tls_port=None,
        certificate=certificate.certificate,
        key=certificate.key,
        ca=certificate.ca,
        allow_loopback=True,
        allowed_peers=tuple(_own_addresses()),  # stock aiortc offers no loopback
        user_quota=0,  # one set of credentials opens all the tunnels here
        data_dir=folder,
    )


def _own_addresses() -> list[str]:
    """IPv4 alone: the relay listens nowhere else."""
    return [address for address in own_addresses() if ipaddress.ip_address(address).version == 4]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
