"""A peer's own key and certificate, kept in two files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from farsite_signaling.identity.certificates import (
    certificate_name,
    certificate_pem,
    load_certificate,
    public_key_of,
)
from farsite_signaling.identity.keys import (
    PrivateKey,
    load_private_key,
    private_pem,
    public_pem,
    sign,
    write_private,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import PeerName

KEY_FILE = "identity.key"
CERTIFICATE_FILE = "identity.crt"


@dataclass(frozen=True)
class Identity:
    """Key and certificate that belong together; checked when made."""

    key: PrivateKey
    certificate: x509.Certificate

    def __post_init__(self) -> None:
        if public_pem(self.key.public_key()) != public_pem(public_key_of(self.certificate)):
            raise FarsiteError(
                ErrorCode.CERTIFICATE_INVALID, "The certificate does not belong to the private key."
            )

    @classmethod
    def from_pem(cls, key: PrivateKey, certificate: str) -> Identity:
        return cls(key, load_certificate(certificate))

    @property
    def name(self) -> PeerName:
        return certificate_name(self.certificate)

    @property
    def urn(self) -> str:
        return str(self.name)

    @property
    def certificate_pem(self) -> str:
        return certificate_pem(self.certificate)

    def sign(self, data: bytes) -> str:
        """Raw ECDSA P-256 signature, base64url."""
        return sign(self.key, data)

    def save(self, folder: Path) -> None:
        write_private(folder / KEY_FILE, private_pem(self.key))
        write_private(folder / CERTIFICATE_FILE, self.certificate_pem.encode())

    @classmethod
    def load(cls, folder: Path) -> Identity:
        """Raises `FileNotFoundError` when there is none, `FarsiteError` when it is damaged."""
        key = load_private_key((folder / KEY_FILE).read_bytes())
        return cls.from_pem(key, (folder / CERTIFICATE_FILE).read_text())
