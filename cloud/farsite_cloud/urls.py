"""The addresses this cloud tells others to use. Never taken from a request's `Host`."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import HUB_PATH


@dataclass(frozen=True)
class PublicUrls:
    """`api` without a trailing slash."""

    api: str

    @property
    def hub(self) -> str:
        return "ws" + self.api.removeprefix("http") + HUB_PATH

    @property
    def origin(self) -> str:
        """What browsers send as `Origin` from our own pages (RFC 6454)."""
        parts = urlsplit(self.api)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        return urlsplit(self.api).hostname or "localhost"


def public_urls(given: str | None, *, bind: str, port: int, tls: bool) -> PublicUrls:
    """The `public_url` setting, else an address of this machine."""
    if given is not None:
        return PublicUrls(_checked(given))
    host = _reachable(bind)
    host = f"[{host}]" if ":" in host else host
    return PublicUrls(f"{'https' if tls else 'http'}://{host}:{port}")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment:
        detail = f"public_url {url[:200]!r} is not an address such as https://cloud.example.com."
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail)
    return url.rstrip("/")


def _reachable(bind: str) -> str:
    try:
        if not ipaddress.ip_address(bind).is_unspecified:
            return bind
    except ValueError:
        return bind
    return _own_address(bind)


def _own_address(bind: str) -> str:
    """The address of the interface that leads out; connecting a UDP socket sends nothing."""
    family, far = (socket.AF_INET6, "2001:db8::1") if ":" in bind else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "localhost"
