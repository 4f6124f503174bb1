"""Makes an index of a folder of images, for a web server to offer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from farsite_edge.axis_os.container import BadImage
from farsite_edge.axis_os.folder import SUFFIX
from farsite_edge.axis_os.image import read_image
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.os_catalogue_api import INDEX_FORMAT

INDEX, SIGNATURE = "catalogue.json", "catalogue.json.sig"


def make_index(folder: Path, key: Path | None) -> dict[str, Any]:
    """Writes the index into the folder, and what it signs it with. What was done, and which files were left out.
    Raises `invalid_request` for a folder or key that cannot be used."""
    problems: list[str] = []
    signer = _signer(key) if key is not None else None
    try:
        images = list(_images(folder, problems))
        whole = {"format": INDEX_FORMAT, "issued": datetime.now(UTC).isoformat(), "images": images}
        document = json.dumps(whole, indent=1).encode()
        (folder / INDEX).write_bytes(document)
        if signer is not None:
            (folder / SIGNATURE).write_bytes(base64.b64encode(signer.sign(document)))
    except OSError as error:
        raise _bad(f"{folder} cannot be used: {error.strerror or error}.") from None
    public = base64.b64encode(signer.public_key().public_bytes_raw()).decode() if signer else ""
    return {
        "index": str(folder / INDEX),
        "images": len(images),
        "left_out": problems,
        "os_catalogue_key": public,
    }


def _images(folder: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob(f"*{SUFFIX}")):
        try:
            digest, info = read_image(file)
        except BadImage as error:
            problems.append(f"{file.name}: {error}")
            continue
        yield {
            "file": quote(file.relative_to(folder).as_posix()),
            "version": info.release,
            "models": info.models,
            "bytes": file.stat().st_size,
            "sha256": digest,
            "upgradeable_from": info.upgradeable_from,
        }


def _signer(file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _bad(
            f"{file} holds no private key that can be read (PEM, without a password): {error}."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad(f"{file} is no Ed25519 key. Make one with openssl genpkey -algorithm ed25519.")
    return key


def _bad(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.INVALID_REQUEST, detail)
