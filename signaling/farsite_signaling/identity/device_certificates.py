"""HTTPS certificates of devices, by an organization's authority: for servers only, and never the name of a peer."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from farsite_signaling.identity.certificates import DAMAGED, load_certificate
from farsite_signaling.identity.keys import PrivateKey
from farsite_signaling.identity.profiles import LeafKey, common_name, leaf_builder
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

BACKDATE = timedelta(minutes=10)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def device_names(device: str, host_name: str, addresses: list[str]) -> x509.SubjectAlternativeName:
    """Host names of one label and private addresses: nothing a certificate could be misused for elsewhere."""
    own = f"axis-{device.lower()}"
    labels = [own, f"{own}.local", *([host_name.lower(), f"{host_name.lower()}.local"] if host_name else [])]
    names: list[x509.GeneralName] = [x509.DNSName(label) for label in dict.fromkeys(labels)]
    private = [one for one in map(_address, addresses) if one is not None and one.is_private]
    return x509.SubjectAlternativeName([*names, *(x509.IPAddress(one) for one in dict.fromkeys(private))])


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def sign_device_certificate(
    key: PrivateKey,
    authority: x509.Certificate,
    csr: str,
    names: x509.SubjectAlternativeName,
    *,
    device: str,
    now: datetime,
    lifetime: timedelta,
) -> x509.Certificate:
    """Raises `invalid_request` for a request that cannot be signed."""
    public = request_key(csr)
    subject = common_name(f"axis-{device.lower()}")
    return (
        leaf_builder(public, subject, authority, key, now - BACKDATE, now + lifetime)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )


def request_key(csr: str) -> LeafKey:
    """Raises `invalid_request`."""
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        valid, key = request.is_signature_valid, request.public_key()
    except DAMAGED:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The certificate request is damaged.") from None
    strong = (isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 8192) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
    )
    if not valid or not isinstance(key, LeafKey) or not strong:
        detail = (
            "The request's key must be RSA of 2048 bits or more, or EC P-256 or larger, and sign the request."
        )
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return key


def is_issued_by(pem: str, authority_pem: str) -> bool:
    """Whether an authority signed a certificate; its times are not looked at."""
    try:
        load_certificate(pem).verify_directly_issued_by(load_certificate(authority_pem))
    except (FarsiteError, InvalidSignature, *DAMAGED):
        return False
    return True
