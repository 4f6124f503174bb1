"""The socket the cloud listens on."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from contextlib import suppress
from pathlib import Path

from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)
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


Stamps = list[tuple[int, int, int]]


class ServerCertificate:
    """Certificate and key out of their files, and again when these change: renewed ones come every few weeks.

    Raises `setting_invalid`.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._seen = self._stamps()
        self.context = _loaded(certificate, key)

    async def renew(self) -> None:
        """What cannot be used is logged, and looked at again when it changes; until then the former goes on."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            # Into the one that serves only when they are a pair: it would be left without a key.
            _loaded(*self._files)
            self.context.load_cert_chain(*self._files)
        except (FarsiteError, OSError) as error:
            logger.error("the renewed TLS certificate is not used, the former goes on: %s", error)
        else:
            logger.info("the TLS certificate was renewed")

    def _stamps(self) -> Stamps:
        """None of a file that is just being replaced."""
        found = []
        for file in self._files:
            with suppress(OSError):
                state = file.stat()
                found.append((state.st_mtime_ns, state.st_size, state.st_ino))
        return found


def server_certificate(settings: CloudSettings) -> ServerCertificate | None:
    """Raises `setting_invalid`."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return ServerCertificate(settings.tls_certificate, settings.tls_key)


def _loaded(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (certificate, key):
        _check_readable(file)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        detail = f"The TLS certificate or key cannot be used: {error.reason or 'no PEM'}."
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail) from None
    return context


def _check_readable(file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise FarsiteError(ErrorCode.SETTING_INVALID, f"Cannot read {file}: {error.strerror}.") from None
