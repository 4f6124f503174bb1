"""DTLS records that come too late for OpenSSL's replay window, which is 64 records: 40 ms at 20 Mbit/s.

Links with jitter bring records later than that. They are as authentic as others, so they are opened here, with
the connection's own keys (RFC 5246 section 6.3, RFC 5288); the association above finds repetitions by itself.
Imports pyOpenSSL: import this module inside functions only.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

WINDOW = 64
_HEADER, _NONCE, _TAG = 13, 8, 16
_APPLICATION_DATA = b"\x17\xfe\xfd"
_KEY, _SALT = 16, 4
_CIPHERS = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256")


class Latecomers:
    """Records of one direction. `of` gives None for a cipher that this module does not know."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._cipher = AESGCM(key)
        self._salt = salt
        self._newest = 0

    @classmethod
    def of(cls, connection: SSL.Connection, *, server: bool) -> Latecomers | None:
        """For what the other side of an established connection writes; `server`: which side we are."""
        if connection.get_cipher_name() not in _CIPHERS:
            return None
        secret, ours, theirs = connection.master_key(), connection.server_random(), connection.client_random()
        if not secret or not ours or not theirs:
            return None
        block = _expand(secret, b"key expansion" + ours + theirs, 2 * (_KEY + _SALT))
        keys, salts = block[: 2 * _KEY], block[2 * _KEY :]
        if server:
            return cls(keys[:_KEY], salts[:_SALT])
        return cls(keys[_KEY:], salts[_SALT:])

    def late(self, data: bytes | memoryview, segment: int) -> list[int]:
        """Where in `data` (datagrams of `segment` bytes) records start that OpenSSL would drop; nearly always none."""
        count = (len(data) - _HEADER) // segment + 1
        if count < 1:
            return []
        first, last = _number(data, 0), _number(data, (count - 1) * segment)
        if last - first == count - 1 and first > self._newest - WINDOW:  # as they were sent, nearly always
            self._newest = max(self._newest, last)
            return []
        numbers = [_number(data, at * segment) for at in range(count)]
        newest = max(self._newest, max(numbers))
        if min(numbers) > newest - WINDOW:
            self._newest = newest
            return []
        return list(self._behind(numbers, segment))

    def _behind(self, numbers: list[int], segment: int) -> Iterator[int]:
        for index, number in enumerate(numbers):
            self._newest = max(self._newest, number)
            if number <= self._newest - WINDOW:
                yield index * segment

    def open(self, record: bytes) -> bytes | None:
        """What a record holds; None for one that is not authentic, or no data."""
        size = len(record) - _HEADER - _NONCE - _TAG
        if size < 0 or record[:3] != _APPLICATION_DATA or record[3:5] != b"\x00\x01":
            return None
        nonce = self._salt + record[_HEADER : _HEADER + _NONCE]
        known = record[3:11] + record[:3] + size.to_bytes(2)
        try:
            return self._cipher.decrypt(nonce, record[_HEADER + _NONCE :], known)
        except InvalidTag:
            return None


def _number(data: bytes | memoryview, at: int) -> int:
    return int.from_bytes(data[at + 5 : at + 11])


def _expand(secret: bytes, seed: bytes, size: int) -> bytes:
    """P_SHA256 (RFC 5246 section 5)."""
    out, link = b"", seed
    while len(out) < size:
        link = hmac.digest(secret, link, "sha256")
        out += hmac.digest(secret, link + seed, "sha256")
    return out[:size]
