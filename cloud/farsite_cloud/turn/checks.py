"""What would keep a relay from starting, told before coturn only logs it."""

from __future__ import annotations

import errno
import shutil
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

from farsite_cloud.turn.config import ANY, TurnSettings
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


def check(settings: TurnSettings) -> None:
    """Raises `FarsiteError`: `turn_unavailable`, `port_taken`, `setting_invalid` or `certificate_…`."""
    if shutil.which(settings.executable) is None:
        raise FarsiteError(
            ErrorCode.TURN_UNAVAILABLE,
            f"{settings.executable} is not installed: sites that no direct path reaches cannot be managed. "
            "Install coturn (apt install coturn), or name a TURN server of your own.",
        )
    _check_certificate(settings)
    for kind, address, port in _listeners(settings):
        _check_bind(kind, address, port)


def _listeners(settings: TurnSettings) -> Iterator[tuple[socket.SocketKind, str, int]]:
    for address in settings.listening_ips or (ANY,):
        if settings.port is not None:
            yield socket.SOCK_DGRAM, address, settings.port
        for port in (settings.port, settings.tls_port, settings.alt_tls_port):
            if port is not None:
                yield socket.SOCK_STREAM, address, port


def _check_bind(kind: socket.SocketKind, address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # Connections in TIME_WAIT do not count; a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise _bind_error(error, kind, address, port) from None


def _bind_error(error: OSError, kind: socket.SocketKind, address: str, port: int) -> FarsiteError:
    name = f"{'TCP' if kind == socket.SOCK_STREAM else 'UDP'} port {port} on {address}"
    if error.errno == errno.EADDRINUSE:
        return FarsiteError(ErrorCode.PORT_TAKEN, f"{name} is taken by another program; choose another port.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return FarsiteError(
            ErrorCode.TURN_UNAVAILABLE,
            f"{name} needs root or CAP_NET_BIND_SERVICE; choose a port above 1023 or grant it.",
        )
    return FarsiteError(ErrorCode.SETTING_INVALID, f"{name} cannot be opened: {error.strerror}.")


def _check_certificate(settings: TurnSettings) -> None:
    if not settings.tls or settings.certificate is None or settings.key is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate, settings.key)
        expires = load_certificate(settings.certificate.read_text()).not_valid_after_utc
    except ssl.SSLError as error:
        reason = error.reason or "no PEM certificate and key"
        raise FarsiteError(
            ErrorCode.CERTIFICATE_INVALID,
            f"{settings.certificate} and {settings.key} are no usable pair: {reason}.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FarsiteError(
            ErrorCode.SETTING_INVALID, f"The relay's certificate or key cannot be read: {error}."
        ) from None
    if expires < datetime.now(UTC):
        raise FarsiteError(
            ErrorCode.CERTIFICATE_EXPIRED, f"{settings.certificate} expired on {expires:%Y-%m-%d}; renew it."
        )
