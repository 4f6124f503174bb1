"""Trust on first use: the SHA-256 of a device's own certificate is remembered, a change is an error."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from functools import cache, lru_cache

import aiohttp

from farsite_edge.vapix.errors import bad_answer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_PIN = re.compile(r"[0-9a-f]{64}")


def pin_of(certificate: bytes) -> str:
    """Pin of a DER certificate: 64 lower-case hex digits."""
    return hashlib.sha256(certificate).hexdigest()


def pin_bytes(pin: str) -> bytes:
    """Accepts colons and upper case. Raises `invalid_request`."""
    text = pin.replace(":", "").lower()
    if not _PIN.fullmatch(text):
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "A certificate pin is a SHA-256 of 64 hex digits.")
    return bytes.fromhex(text)


@lru_cache(maxsize=4096)
def trust_in(pin: str) -> aiohttp.Fingerprint:
    """The same object for the same pin: aiohttp keeps a connection for who insists on the very object it was made
    with."""
    return aiohttp.Fingerprint(pin_bytes(pin))


async def read_pin(host: str, port: int) -> str:
    """The pin of whoever answers at `host:port`. Nothing is sent but the TLS handshake.

    Raises `OSError` (also `ssl.SSLError`) and `FarsiteError`; the caller bounds the time.
    """
    _, writer = await asyncio.open_connection(host, port, ssl=_unverified())
    try:
        encrypted = writer.get_extra_info("ssl_object")
        certificate = encrypted.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    if not certificate:
        raise bad_answer("no certificate")
    return pin_of(certificate)


@cache
def _unverified() -> ssl.SSLContext:
    # Devices sign their own certificate: the pin, not a certificate authority, tells who they are. One for all, and
    # without authorities: reading those takes longer and more memory than a handshake.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
