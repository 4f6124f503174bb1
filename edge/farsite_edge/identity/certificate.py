"""The certificate an edge host shows until an organization's authority signs one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from farsite_signaling.identity.keys import PrivateKey

LIFETIME = timedelta(days=3650)
# People compare its fingerprint; its dates say nothing, so a clock that is far off does no harm.
BACKDATE = timedelta(days=365)


def self_signed(key: PrivateKey, edge_id: str, now: datetime | None = None) -> x509.Certificate:
    now = now or datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"farsite-edge-{edge_id}"[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
