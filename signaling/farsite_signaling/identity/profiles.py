"""What our certificates have in common (RFC 5280 section 4.2.1): an authority's, and those it signs."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from farsite_signaling.identity.keys import PrivateKey

LeafKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def our_name(text: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Farsite")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority_certificate(
    key: PrivateKey, name: x509.Name, not_before: datetime, not_after: datetime
) -> x509.Certificate:
    """Signed by itself; signs no other authority."""
    return (
        _begun(name, name, key.public_key(), not_before, not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def leaf_builder(
    key: LeafKey,
    subject: x509.Name,
    authority: x509.Certificate,
    authority_key: PrivateKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    """Never outlives its authority. What it may be used for, and its names, are the caller's."""
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    until = min(not_after, authority.not_valid_after_utc)
    return (
        _begun(subject, authority.subject, key, not_before, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=True, encipher_keys=isinstance(key, rsa.RSAPublicKey)), critical=True)
        .add_extension(issuer, critical=False)
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: LeafKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _usage(
    *, sign: bool = False, encipher_keys: bool = False, sign_certificates: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        key_encipherment=encipher_keys,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
