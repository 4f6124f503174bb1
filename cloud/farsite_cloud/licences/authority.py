"""The operator's licence authority: makes its key, issues licence keys. Needs no cloud."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pydantic import ValidationError

from farsite_cloud.ids import new_id
from farsite_signaling.identity.keys import write_private
from farsite_signaling.identity.licences import (
    AuthorityKey,
    AuthorityPublicKey,
    key_id,
    load_authority,
    sign_licence,
)
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.licence import LicenceKey, LicenceKind
from farsite_signaling.wire.refusals import plain

PUBLIC_SUFFIX = ".pub"


@dataclass(frozen=True)
class Made:
    """`public_file` is what clouds are given (setting licence_keys)."""

    key_file: Path
    public_file: Path
    id: str


def init(path: Path, algorithm: str) -> Made:
    """A key file only its owner reads, its public key beside it. Raises `conflict` rather than replace one."""
    if path.exists():
        detail = f"{path} exists. For another key, to rotate to, name another file."
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    key: AuthorityKey = (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == "p256"
        else ed25519.Ed25519PrivateKey.generate()
    )
    public_file = path.with_name(path.name + PUBLIC_SUFFIX)
    try:
        write_private(path, _private_pem(key))
        public_file.write_bytes(_public_pem(key.public_key()))
    except OSError as error:
        detail = f"Cannot write {error.filename or path}: {error.strerror}."
        raise FarsiteError(ErrorCode.STORAGE_FAILED, detail) from None
    return Made(path, public_file, key_id(key.public_key()))


def _private_pem(key: AuthorityKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: AuthorityPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_authority(path: Path) -> AuthorityKey:
    """Raises `not_found`, `invalid_request`; `storage_failed` for a file that others can read."""
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        detail = f"Cannot read {path}: {error.strerror}. Make a key with: farsite licence authority init"
        raise FarsiteError(ErrorCode.NOT_FOUND, detail) from None
    if os.name == "posix" and mode & 0o077:
        detail = f"Others can read {path}: who has it makes licences. Set its mode: chmod 600 {path}"
        raise FarsiteError(ErrorCode.STORAGE_FAILED, detail)
    return load_authority(data)


def issue(
    key: AuthorityKey,
    *,
    issuer: str,
    kind: LicenceKind,
    count: int,
    first: datetime,
    last: datetime,
    organization: str | None,
    now: datetime,
    cloud: str | None = None,
) -> tuple[LicenceKey, str]:
    """From the beginning of the day `first` to the end of the day `last` (UTC). Raises `invalid_request`."""
    try:
        claims = LicenceKey(
            jti=new_id(now),
            iss=issuer,
            kind=kind,
            count=count,
            starts=int(_midnight(first).timestamp()),
            ends=int((_midnight(last) + timedelta(days=1)).timestamp()),
            org=organization,
            cloud=cloud,
            iat=int(now.timestamp()),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        detail = f"No licence was issued: {plain(problem['msg'])}{f' ({where})' if where else ''}."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail) from None
    return claims, sign_licence(key, claims)


def _midnight(day: datetime) -> datetime:
    return datetime.combine(day.date(), time(), UTC)
