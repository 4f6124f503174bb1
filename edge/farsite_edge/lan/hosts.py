"""Names this machine is called by."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class HostRule:
    """A browser that was lured to a rebound name sends that name as `Host`: such requests are refused."""

    def __init__(self, further: Iterable[str] = ()) -> None:
        own = {socket.gethostname(), socket.getfqdn(), "localhost", *further}
        names = {name.lower().rstrip(".") for name in own if name}
        self._names = names | {f"{name.split('.')[0]}.local" for name in names}

    def check(self, header: str) -> None:
        """Raises `forbidden`."""
        try:
            host = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            host = ""
        if not self._is_ours(host.rstrip(".")):
            raise FarsiteError(
                ErrorCode.FORBIDDEN,
                f"This edge host is not called {header[:100]!r}. Use its IP address or host name, or add the name to "
                "FARSITE_EDGE_ALLOWED_HOSTS.",
            )

    def _is_ours(self, host: str) -> bool:
        try:
            ipaddress.ip_address(host.split("%")[0])
        except ValueError:
            return host.lower() in self._names
        return True
