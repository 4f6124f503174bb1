"""The key, the current certificate and the claim, kept together."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography import x509

from farsite_edge.claim.record import ClaimRecord
from farsite_edge.identity.certificate import self_signed
from farsite_edge.store import Facts
from farsite_edge.store.failures import storage_errors
from farsite_signaling.identity import (
    Identity,
    OrganizationTrust,
    fingerprint,
    generate_key,
    load_private_key,
    load_public_key,
    private_pem,
)
from farsite_signaling.identity.certificates import certificate_pem, load_certificate
from farsite_signaling.identity.keys import PrivateKey, PublicKey, write_private
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

KEY_FILE = "identity.key"


class IdentityKeeper:
    """`load()` makes what is missing. The claim, certificate included, is one stored value: whole or absent."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._path = folder / KEY_FILE
        self._facts = facts
        self._key: PrivateKey | None = None
        self._own: x509.Certificate | None = None
        self._claim: ClaimRecord | None = None

    async def load(self) -> None:
        """Raises `FarsiteError` (`storage_failed`, `disk_full`)."""
        self._key = self._load_key()
        if self._facts.get("edge_id") is None:
            await self._facts.set({"edge_id": secrets.token_hex(8)})
        self._own = await self._load_own()
        text = self._facts.get("claim")
        self._claim = ClaimRecord.from_text(text) if text else None

    @property
    def key(self) -> PrivateKey:
        assert self._key is not None, "load() comes first"
        return self._key

    @property
    def claim(self) -> ClaimRecord | None:
        return self._claim

    @property
    def edge_id(self) -> str:
        return self._claim.edge_id if self._claim else self._facts.get("edge_id") or ""

    @property
    def certificate(self) -> x509.Certificate:
        """What TLS shows: the organization's certificate once claimed, before that our own."""
        if self._claim is not None:
            return load_certificate(self._claim.certificate)
        assert self._own is not None, "load() comes first"
        return self._own

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    @property
    def identity(self) -> Identity:
        """Raises `not_claimed`."""
        return Identity.from_pem(self.key, self._claimed.certificate)

    @property
    def trust(self) -> OrganizationTrust:
        return OrganizationTrust(self._claimed.ca)

    @property
    def grant_key(self) -> PublicKey:
        return load_public_key(self._claimed.grant_key)

    async def store_claim(self, record: ClaimRecord, values: dict[str, str | None]) -> None:
        """The claim and the settings that came with it, all or nothing."""
        await self._facts.set({"claim": record.model_dump_json(), **values})
        self._claim = record

    @property
    def _claimed(self) -> ClaimRecord:
        if self._claim is None:
            raise FarsiteError(ErrorCode.NOT_CLAIMED, "This edge host is not claimed yet.")
        return self._claim

    def _load_key(self) -> PrivateKey:
        with storage_errors(self._path):
            if not self._path.exists():
                if self._facts.get("claim") is not None:
                    raise FarsiteError(
                        ErrorCode.STORAGE_FAILED,
                        f"The key {self._path} of this claimed edge host is gone. Put back a copy, or move the data "
                        "folder away and claim again.",
                    )
                write_private(self._path, private_pem(generate_key()))
            return load_private_key(self._path.read_bytes())

    async def _load_own(self) -> x509.Certificate:
        # Kept, so that the fingerprint people compare stays the same over restarts.
        stored = self._facts.get("own_certificate")
        if stored is not None:
            certificate = load_certificate(stored)
            if certificate.public_key() == self.key.public_key():
                return certificate
        made = self_signed(self.key, self._facts.get("edge_id") or "")
        await self._facts.set({"own_certificate": certificate_pem(made)})
        return made
