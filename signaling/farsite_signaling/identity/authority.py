"""An organization's certificate authority: signs what edge hosts and client devices present."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from farsite_signaling.identity.certificates import DAMAGED, certificate_pem, load_certificate
from farsite_signaling.identity.keys import (
    PrivateKey,
    generate_key,
    load_private_key,
    private_pem,
)
from farsite_signaling.identity.profiles import authority_certificate, common_name, leaf_builder, our_name
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
        name = our_name(f"{organization} authority"[:64])
        return cls(key, authority_certificate(key, name, now - BACKDATE, now + CA_LIFETIME))

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
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(name))])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        subject = common_name(str(name)[-64:])
        certificate = (
            leaf_builder(key, subject, self.certificate, self._key, now - BACKDATE, now + lifetime)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate_pem(certificate)


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
