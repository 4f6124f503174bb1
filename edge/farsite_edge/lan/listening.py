"""Opening ports, with an error that says which one is taken."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Sequence

from farsite_signaling.rest import Front, FrontLimits
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# A site has a few dozen clients: whoever holds more connections than these is up to something.
LIMITS = FrontLimits(connections=1000, per_source=200, idle=30.0)


async def listen(
    front: Front,
    addresses: Sequence[str],
    port: int,
    setting: str,
    tls: ssl.SSLContext | None = None,
) -> int:
    """The port in use (`port` 0: a free one). Raises `port_taken`, `setting_invalid`."""
    used = port
    everywhere: list[str | None] = [None]
    for address in addresses or everywhere:
        try:
            used = await front.listen(address, used, tls=tls)
        except OSError as error:
            raise refused(error, used, setting, str(address or "all addresses")) from error
    return used


def refused(error: OSError, port: int, setting: str, address: str) -> FarsiteError:
    variable = f"FARSITE_EDGE_{setting.upper()}"
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        reason = (
            "in use by another program" if error.errno == errno.EADDRINUSE else "not allowed to this user"
        )
        return FarsiteError(
            ErrorCode.PORT_TAKEN,
            f"Port {port} ({setting}) is {reason}. Stop that program, or choose another port with {variable}.",
        )
    return FarsiteError(
        ErrorCode.SETTING_INVALID,
        f"Cannot listen on {address} port {port} ({setting}): {error.strerror or error}. Check FARSITE_EDGE_BIND.",
    )
