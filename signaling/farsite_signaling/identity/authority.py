"""An organization's certificate authority: signs what edge hosts and client devices present."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from farsite_signaling.identity.certificates import DAMAGED, certificate_pem, load_certificate
from farsite_signaling.identity.keys import (
    PrivateKey,
    generate_key,
    load_private_key,
    private_pem,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import PeerName

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=90)
# Backdated so that a peer whose clock is a little behind can use its certificate at once.
BACKDATE = timedelta(minutes=10)


class CertificateAuthority:
    def __init__(self, key: PrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self.certificate = certificate

    @property
    def pem(self) -> str:
        return certificate_pem(self.certificate)

    def private_pem(self) -> bytes:
        return private_pem(self._key)

    @classmethod
    def load(cls, key_pem: bytes, certificate: str) -> CertificateAuthority:
        return cls(load_private_key(key_pem), load_certificate(certificate))

    @classmethod
    def create(cls, organization: str, now: datetime | None = None) -> CertificateAuthority:
        now = now or datetime.now(UTC)
        key = generate_key()
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Farsite"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{organization} authority"[:64]),
            ]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    def issue(
        self,
        csr_pem: str,
        name: PeerName,
        *,
        now: datetime | None = None,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> str:
        """A certificate for the request's key under `name`, in PEM. Raises `invalid_request`."""
        now = now or datetime.now(UTC)
        key = _request_key(csr_pem)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(name)[-64:])])
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(name))])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + lifetime, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
        )
        return certificate_pem(builder.sign(self._key, hashes.SHA256()))


def _request_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        valid = request.is_signature_valid
        key = request.public_key()
    except DAMAGED:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The certificate request is damaged.") from None
    if not valid:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The request is not signed by its own key.")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The request's key must be P-256.")
    return key


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
