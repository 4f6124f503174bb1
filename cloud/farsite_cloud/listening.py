"""The socket the cloud listens on."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_BACKLOG = 1024


def open_socket(address: str, port: int) -> socket.socket:
    """Raises `port_taken`, or `setting_invalid` for an address or port this machine does not let us have."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise _cannot_listen(address, port, error) from None


def _cannot_listen(address: str, port: int, error: OSError) -> FarsiteError:
    if error.errno == errno.EADDRINUSE:
        detail = (
            f"Port {port} on {address} is taken by another program. Stop it, or choose another with --port."
        )
        return FarsiteError(ErrorCode.PORT_TAKEN, detail)
    if error.errno in (errno.EACCES, errno.EPERM):
        detail = (
            f"This account may not listen on port {port}. Choose one above 1023 with --port, run as root, "
            "or grant CAP_NET_BIND_SERVICE."
        )
        return FarsiteError(ErrorCode.SETTING_INVALID, detail)
    reason = error.strerror or str(error)
    detail = f"Cannot listen on {address} port {port}: {reason}. Choose another with --bind."
    return FarsiteError(ErrorCode.SETTING_INVALID, detail)


def tls_context(settings: CloudSettings) -> ssl.SSLContext | None:
    """Raises `setting_invalid`."""
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (settings.tls_certificate, settings.tls_key):
        _check_readable(file)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except ssl.SSLError as error:
        detail = f"The TLS certificate or key cannot be used: {error.reason or 'no PEM'}."
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail) from None
    return context


def _check_readable(file: Path | None) -> None:
    assert file is not None, "settings have both or none"
    try:
        file.open("rb").close()
    except OSError as error:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"Cannot read {file}: {error.strerror}.") from None
