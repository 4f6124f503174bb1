"""Certificates of edge hosts and client devices: one URI name, signed by the organization's authority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farsite_signaling.identity.keys import PrivateKey, PublicKey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS
from farsite_signaling.wire.ids import PeerName, parse_name

LEEWAY = timedelta(seconds=LEEWAY_SECONDS)
# What `cryptography` raises for certificates and requests that are damaged or made to confuse.
DAMAGED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def _invalid(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.CERTIFICATE_INVALID, detail)


def load_certificate(pem: str) -> x509.Certificate:
    """Raises `FarsiteError` (`certificate_invalid`)."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except DAMAGED:
        raise _invalid("Not a certificate.") from None
    if certificate.serial_number <= 0:  # RFC 5280, 4.1.2.2
        raise _invalid("Not a certificate.")
    return certificate


def certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def public_key_of(certificate: x509.Certificate) -> PublicKey:
    try:
        key = certificate.public_key()
    except DAMAGED:
        raise _invalid("The certificate's key cannot be read.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _invalid("The certificate's key is not a P-256 key.")
    return key


def certificate_name(certificate: x509.Certificate) -> PeerName:
    """The Farsite name in the subject alternative names; exactly one URI must be there."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, *DAMAGED):
        raise _invalid("The certificate carries no name.") from None
    if len(names) != 1:
        raise _invalid(f"The certificate carries {len(names)} names; exactly one is expected.")
    return parse_name(names[0])


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, upper-case hex with colons (RFC 8122)."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def make_request(key: PrivateKey, common_name: str) -> str:
    """A PKCS#10 request in PEM. The authority chooses the name; only the key counts."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64] or "farsite")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


class OrganizationTrust:
    """Says whether a certificate is one of the organization's, now."""

    def __init__(self, ca_pem: str) -> None:
        self.ca_pem = ca_pem
        self._ca = load_certificate(ca_pem)

    def verify(self, pem: str, now: datetime | None = None) -> tuple[PeerName, x509.Certificate]:
        """The verified name and certificate.

        Raises `FarsiteError`: `certificate_invalid`, `certificate_expired`, or `clock_skew` when the certificate
        is not valid yet, with the seconds missing.
        """
        certificate = load_certificate(pem)
        try:
            certificate.verify_directly_issued_by(self._ca)
        except (InvalidSignature, *DAMAGED):
            raise _invalid("The certificate is not from this organization's authority.") from None
        self._check_not_an_authority(certificate)
        check_validity(certificate, now or datetime.now(UTC))
        return certificate_name(certificate), certificate

    def _check_not_an_authority(self, certificate: x509.Certificate) -> None:
        try:
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        except (x509.ExtensionNotFound, *DAMAGED):
            raise _invalid("The certificate lacks basic constraints.") from None
        if basic.value.ca:
            raise _invalid("An authority's certificate cannot be a peer's.")


def check_validity(certificate: x509.Certificate, now: datetime) -> None:
    """Raises `certificate_expired` or `clock_skew` with seconds; five minutes of leeway either way."""
    early = (certificate.not_valid_before_utc - now).total_seconds()
    if early > LEEWAY_SECONDS:
        raise FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"The certificate becomes valid in {early:.0f} s: this machine's clock is at least that far "
            "behind. Set the clock (NTP) and try again.",
        )
    late = now - certificate.not_valid_after_utc
    if late > LEEWAY:
        raise FarsiteError(
            ErrorCode.CERTIFICATE_EXPIRED,
            f"The certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC "
            f"({late.total_seconds():.0f} s ago by this machine's clock). Check the clock, then claim or "
            "sign in again for a new certificate.",
        )
