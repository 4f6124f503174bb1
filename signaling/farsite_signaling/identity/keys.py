"""P-256 keys and raw ECDSA signatures (r‖s, as WebCrypto makes them), base64url without padding."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
_COORDINATE = 32


def generate_key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key: PublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def load_private_key(pem: bytes) -> PrivateKey:
    """Raises `FarsiteError` (`storage_failed`) when the bytes are no P-256 key."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FarsiteError(ErrorCode.STORAGE_FAILED, "The private key file is damaged.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.curve):
        raise FarsiteError(ErrorCode.STORAGE_FAILED, "The private key is not a P-256 key.")
    return key


def load_public_key(pem: str) -> PublicKey:
    """Raises `FarsiteError` (`certificate_invalid`)."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, "Not a public key.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p256(key.curve):
        raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, "Not a P-256 public key.")
    return key


def _is_p256(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP256R1)


def write_private(path: Path, data: bytes) -> None:
    """Write a file only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def b64encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64decode(text: str) -> bytes:
    """Raises `FarsiteError` (`protocol_error`)."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Not base64url.") from None


def sign(key: PrivateKey, data: bytes) -> str:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return b64encode(r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big"))


def verify(key: PublicKey, data: bytes, signature: str) -> None:
    """Raises `FarsiteError` (`signature_invalid`) unless the signature is the key's over these bytes."""
    raw = b64decode(signature)
    if len(raw) != 2 * _COORDINATE:
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "A signature has 64 bytes.")
    der = encode_dss_signature(
        int.from_bytes(raw[:_COORDINATE], "big"), int.from_bytes(raw[_COORDINATE:], "big")
    )
    try:
        key.verify(der, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise FarsiteError(ErrorCode.SIGNATURE_INVALID, "The signature does not match.") from None
