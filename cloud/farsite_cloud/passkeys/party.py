"""Who asks for passkeys: the RP id and the origin browsers must be at, from the public URL (WebAuthn Level 3, 4)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from farsite_cloud.urls import PublicUrls
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

NAME = "Farsite"


@dataclass(frozen=True)
class Party:
    id: str
    origin: str


def party_of(urls: PublicUrls) -> Party:
    """Raises `conflict` where no browser makes passkeys: at addresses without a name, and without TLS."""
    host = urls.host
    if _is_address(host):
        detail = f"Passkeys need a name, and this cloud's address is {host}. Its operator sets public_url."
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    if not urls.origin.startswith("https:") and host != "localhost" and not host.endswith(".localhost"):
        raise FarsiteError(ErrorCode.CONFLICT, "Passkeys need https, and this cloud is reached without.")
    return Party(host, urls.origin)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
