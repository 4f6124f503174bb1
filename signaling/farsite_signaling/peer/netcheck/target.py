"""What is to be checked."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from farsite_signaling.peer.options import FIRST_PORT, LAST_PORT
from farsite_signaling.peer.proxy import Proxy, parse_proxy
from farsite_signaling.wire.hub import HUB_PATH
from farsite_signaling.wire.netcheck import RelayCheck

AskRelays = Callable[[], Awaitable[RelayCheck]]

NAME_SECONDS = 2.0
PROBE_SECONDS = 3.0
TOTAL_SECONDS = 6.0
STUN_PORT = 3478


@dataclass(frozen=True)
class Target:
    """A deployment as seen from one place. Raises `FarsiteError` (`setting_invalid`) for a proxy that is none.

    `ask_relays` fetches TURN servers with credentials from the cloud; without it `no_relays` says what to do to have
    them checked. `tls` trusts what this machine trusts for the cloud, `turn_ca` is as in `PeerOptions`.
    """

    cloud_url: str
    hub_url: str = ""
    proxy_address: str | None = None
    tls: ssl.SSLContext | None = None
    turn_ca: str | None = None
    ask_relays: AskRelays | None = None
    no_relays: str = ""
    ports: tuple[int, int] = (FIRST_PORT, LAST_PORT)

    @property
    def proxy(self) -> Proxy | None:
        return parse_proxy(self.proxy_address) if self.proxy_address else None

    @property
    def hub(self) -> str:
        """The hub's `ws://` or `wss://` address; beside the API when none is known."""
        url = self.hub_url or self.cloud_url.rstrip("/") + HUB_PATH
        parts = urlsplit(url)
        return parts._replace(scheme={"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)).geturl()

    @property
    def cloud(self) -> tuple[str, int]:
        return host_and_port(self.cloud_url)

    @property
    def secure(self) -> bool:
        return urlsplit(self.hub).scheme == "wss"


def host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    return parts.hostname or "", parts.port or (443 if secure else 80)
