"""A relay on loopback for benchmarks."""

from __future__ import annotations

import socket
from pathlib import Path

from farsite_cloud.turn.certificate import ensure_certificate
from farsite_cloud.turn.config import TurnSettings

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
        user_quota=0,  # one set of credentials opens all the tunnels here
        data_dir=folder,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
