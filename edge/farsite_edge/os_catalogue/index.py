"""Reads an index of images; free of I/O.

The index is JSON (`docs/os-images.md`). Its entries name the SHA-256 of every image, so that only the index needs to
be trusted: it comes over HTTPS, and with a key set it must be signed with that key (Ed25519, RFC 8032).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_catalogue_api import INDEX_FORMAT, ImageIndex, IndexedImage
from farsite_signaling.wire.refusals import plain

MAX_INDEX = 8 * 1024 * 1024
MAX_SKIPPED = 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Entry:
    """An image that can be downloaded. `id` is its SHA-256."""

    id: str
    url: str
    version: str
    models: list[str]
    bytes: int
    upgradeable_from: list[str] = field(default_factory=list)
    release_notes: str | None = None


@dataclass(frozen=True)
class Index:
    entries: dict[str, Entry]
    issued: datetime | None = None
    skipped: list[str] = field(default_factory=list)


def checked_url(url: str, *, signed: bool) -> str:
    """Raises `setting_invalid`. Unprotected HTTP is for an index that is signed, or on this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _bad_setting("os_catalogue", "it is not an address") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.fragment:
        raise _bad_setting("os_catalogue", "write it as https://host[:port]/path")
    if parts.scheme == "http" and not signed and host not in _LOOPBACK:
        raise _bad_setting(
            "os_catalogue", "http:// is not protected. Use https://, or sign the index (os_catalogue_key)"
        )
    return url


def public_key(text: str) -> Ed25519PublicKey:
    """Of 32 bytes in base64. Raises `setting_invalid`."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise _bad_setting("os_catalogue_key", "it is no Ed25519 public key (32 bytes in base64)") from None


def check_signature(key: Ed25519PublicKey, document: bytes, signature: bytes) -> None:
    """Raises `signature_invalid`."""
    try:
        key.verify(base64.b64decode(signature.strip(), validate=True), document)
    except (InvalidSignature, ValueError, binascii.Error):
        raise FarsiteError(
            ErrorCode.SIGNATURE_INVALID,
            "The signature of the catalogue is not by the key that is set (os_catalogue_key): nothing of it is used. "
            "Sign it again, or correct the key.",
        ) from None


def read_index(document: bytes, url: str) -> Index:
    """Raises `unavailable` for what is no index; entries that are wrong are left out, and why is told."""
    try:
        index = ImageIndex.model_validate_json(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = clean(".".join(str(part) for part in first["loc"]), 60) or "it"
        raise FarsiteError(
            ErrorCode.UNAVAILABLE,
            f"The catalogue is not understood ({where}: {plain(first['msg'])}). "
            f"It must be JSON of the format {INDEX_FORMAT}.",
        ) from None
    entries: dict[str, Entry] = {}
    skipped: list[str] = []
    for number, value in enumerate(index.images):
        try:
            entry = _entry(value, url)
        except ValueError as error:
            skipped.append(f"image {number + 1}: {_reason(error)}")
        else:
            entries.setdefault(entry.id, entry)
    more = [f"… and {len(skipped) - MAX_SKIPPED} more"] if len(skipped) > MAX_SKIPPED else []
    issued = index.issued.astimezone(UTC) if index.issued else None
    return Index(entries, issued, [*skipped[:MAX_SKIPPED], *more])


def _entry(value: object, base: str) -> Entry:
    image = IndexedImage.model_validate(value)
    url = urljoin(base, image.file)
    parts = urlsplit(url)
    # The checksum protects the image; what was asked of a protected server is not asked of an unprotected one.
    if parts.scheme not in ("https", urlsplit(base).scheme) or not parts.hostname:
        raise ValueError("file: an https:// address, or one relative to the catalogue")
    if parts.username or parts.password:
        raise ValueError("file: an address without a password")
    return Entry(
        id=image.sha256,
        url=url,
        version=image.version,
        models=[name for model in image.models if (name := clean(model))],
        bytes=image.bytes,
        upgradeable_from=[clean(one, 64) for one in image.upgradeable_from],
        release_notes=image.release_notes,
    )


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:200]
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{clean('.'.join(str(part) for part in first['loc']), 60)}: {plain(first['msg'])}"[:200]


def _bad_setting(name: str, reason: str) -> FarsiteError:
    return FarsiteError(ErrorCode.SETTING_INVALID, f"Setting '{name}': {reason}.")
