"""The certificate a simulated device signs for itself, and the server that shows it."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)
DeviceKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Shown = tuple[bytes, DeviceKey]


class DeviceTls(ssl.SSLContext):
    """Asks `make` for certificate (PEM) and key at the first handshake: most of a thousand devices never get there."""

    make: Callable[[], Shown] | None
    instead: Callable[[], ssl.SSLContext | None] = staticmethod(lambda: None)
    """Of a device that took this one's address."""
    _kind: str | None = None
    _other: ssl.SSLContext | None = None

    @classmethod
    def of(cls, make: Callable[[], Shown]) -> DeviceTls:
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context.make = make
        return context

    def ready(self) -> None:
        """Idempotent."""
        make, self.make = self.make, None
        if make is not None:
            load(self, *make())

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        other = self.instead()
        if other is not None:
            return other.wrap_bio(*args, **options)
        self.ready()
        wrap = super().wrap_bio if self._other is None else self._other.wrap_bio
        return wrap(*args, **options)

    def of_kind(self, key: DeviceKey) -> ssl.SSLContext:
        """OpenSSL keeps a certificate for each kind of key, and shows whichever the client likes best: those of another
        kind than the first get a context of their own."""
        kind = type(key).__name__
        self._kind = self._kind or kind
        self._other = None if kind == self._kind else ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        return self._other or self


def load(context: ssl.SSLContext, certificate: bytes, key: DeviceKey) -> None:
    """From now on the server shows it."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    target = context.of_kind(key) if isinstance(context, DeviceTls) else context
    with _file(certificate + private) as path:
        target.load_cert_chain(path)


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """OpenSSL takes keys from files: where possible from one that never is on a disk."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("device"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "device.pem"
        path.write_bytes(content)
        yield str(path)


def self_signed(key: ec.EllipticCurvePrivateKey, name: str, address: str, now: datetime) -> x509.Certificate:
    """`now` is what the device's clock says."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(f"{name}.local"), x509.IPAddress(ip_address(address))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 3650 * _DAY)
        .add_extension(names, critical=False)
    )
    return builder.sign(key, hashes.SHA256())
