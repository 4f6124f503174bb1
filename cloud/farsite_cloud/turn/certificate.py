"""A TLS certificate for `turns:` from a small authority of this deployment, when none is given.

Peers trust it through `IceServer.ca`. The authority's key signs nothing but this server's certificate.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from farsite_signaling.identity.certificates import certificate_pem, load_certificate
from farsite_signaling.identity.keys import (
    PrivateKey,
    generate_key,
    load_private_key,
    private_pem,
    write_private,
)
from farsite_signaling.identity.profiles import authority_certificate, leaf_builder, our_name
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=397)
BACKDATE = timedelta(hours=1)


@dataclass(frozen=True)
class TurnCertificate:
    certificate: Path
    key: Path
    ca: str
    """PEM of the authority."""


def ensure_certificate(directory: Path, host: str, now: datetime | None = None) -> TurnCertificate:
    """The certificate for `host` in `directory`; a new one when missing, for another host or two thirds old.

    Raises `FarsiteError` (`storage_failed`).
    """
    now = now or datetime.now(UTC)
    authority, authority_key = _authority(directory, now)
    found = TurnCertificate(directory / "server.pem", directory / "server.key", certificate_pem(authority))
    if not _usable(found, host, now, authority):
        key = generate_key()
        certificate = _issue(authority, authority_key, key, host, now)
        # The key first: a crash in between leaves a pair that does not match, which _usable refuses.
        write_private(found.key, private_pem(key))
        write_private(found.certificate, certificate_pem(certificate).encode())
    return found


def _authority(directory: Path, now: datetime) -> tuple[x509.Certificate, PrivateKey]:
    key_file, certificate_file = directory / "ca.key", directory / "ca.pem"
    if key_file.exists() and certificate_file.exists():
        try:
            return load_certificate(certificate_file.read_text()), load_private_key(key_file.read_bytes())
        except (OSError, UnicodeDecodeError) as error:
            raise FarsiteError(
                ErrorCode.STORAGE_FAILED, f"Cannot read {certificate_file}: {error}."
            ) from None
    key = generate_key()
    name = our_name("relay authority")
    certificate = authority_certificate(key, name, now - BACKDATE, now + AUTHORITY_LIFETIME)
    write_private(key_file, private_pem(key))
    write_private(certificate_file, certificate_pem(certificate).encode())
    return certificate, key


def _issue(
    authority: x509.Certificate, authority_key: PrivateKey, key: PrivateKey, host: str, now: datetime
) -> x509.Certificate:
    subject, since, until = our_name("relay"), now - BACKDATE, now + SERVER_LIFETIME
    return (
        leaf_builder(key.public_key(), subject, authority, authority_key, since, until)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_subject(host)]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _usable(found: TurnCertificate, host: str, now: datetime, authority: x509.Certificate) -> bool:
    try:
        certificate = load_certificate(found.certificate.read_text())
        key = load_private_key(found.key.read_bytes())
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # whatever is wrong with our own file, a new one is the cure
        return False
    renew_at = certificate.not_valid_before_utc + SERVER_LIFETIME * 2 / 3
    same_key = certificate.public_key() == key.public_key()
    return same_key and _subject(host) in list(names) and now < renew_at


def _subject(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
