"""Answers to the challenges of a device, free of I/O: Digest (RFC 7616 with MD5, RFC 2069 without qop) and Basic.

One `Authenticator` serves one protocol (HTTP or HTTPS) of one device. The rules it keeps:

- nothing is sent before the device has asked for it;
- a password is sent once per call: a device may lock its account or block the caller after a few wrong ones;
- Basic never goes over plain HTTP unless the caller allows it, as the 401 may be anyone's on the path.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from farsite_edge.vapix.text import clean, serial_of
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_HEADER = 4096
MAX_NONCES = 32
_SCHEME = re.compile(r"(?:^|,\s*)(Digest|Basic)(?=\s|$)", re.IGNORECASE)
_PAIR = re.compile(r'([A-Za-z]{1,20})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
    "SHA-256": hashlib.sha256,
}


@dataclass(frozen=True)
class Credentials:
    """An account of a device."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Challenge:
    """One scheme of a `WWW-Authenticate` header; `values` have lower-case names."""

    scheme: str
    values: dict[str, str]

    @property
    def realm(self) -> str:
        return self.values.get("realm", "")

    @property
    def stale(self) -> bool:
        return self.values.get("stale", "").lower() == "true"

    @property
    def qop(self) -> str | None:
        offered = [word.strip().lower() for word in self.values.get("qop", "").split(",")]
        return "auth" if "auth" in offered else None

    @property
    def usable(self) -> bool:
        if self.scheme == "basic":
            return True
        has_qop = "qop" in self.values
        return bool(
            self._hash and self.values.get("nonce") and "realm" in self.values and (self.qop or not has_qop)
        )

    @property
    def _hash(self) -> Callable[[bytes], hashlib._Hash] | None:
        return _HASHES.get(self.values.get("algorithm", "MD5").upper())

    def digest(self, text: str) -> str:
        assert self._hash is not None
        return self._hash(text.encode("utf-8")).hexdigest()


def parse_challenges(headers: Sequence[str]) -> list[Challenge]:
    """Every Digest and Basic challenge of all `WWW-Authenticate` headers; others and garbage are left out."""
    return [challenge for header in headers[:8] for challenge in _split(header[:MAX_HEADER])]


def _split(header: str) -> list[Challenge]:
    starts = list(_SCHEME.finditer(header))
    ends = [match.start() for match in starts[1:]] + [len(header)]
    return [
        Challenge(match[1].lower(), _pairs(header[match.end() : end]))
        for match, end in zip(starts, ends, strict=False)
    ]


def _pairs(text: str) -> dict[str, str]:
    return {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        for match in _PAIR.finditer(text)
    }


def realm_serial(headers: Sequence[str]) -> str | None:
    """The serial number in a realm `AXIS_<serial>`: a 401 alone tells which device answers."""
    for challenge in parse_challenges(headers):
        brand, _, serial = challenge.realm.rpartition("_")
        if brand and (found := serial_of(serial)):
            return found
    return None


class Authenticator:
    """Makes `Authorization` headers and remembers the scheme and nonce that worked."""

    def __init__(
        self, credentials: Credentials | None, *, secure: bool, allow_basic_http: bool = False
    ) -> None:
        self._credentials = credentials
        self._basic_allowed = secure or allow_basic_http
        self._remembered: Challenge | None = None
        self._counts: dict[str, int] = {}  # requests signed, by nonce

    def first(self, method: str, uri: str) -> str | None:
        """The header to send unasked: None until a challenge has been answered with success."""
        return self._header(self._remembered, method, uri) if self._remembered else None

    def answer(self, headers: Sequence[str], method: str, uri: str, *, tried: bool) -> tuple[str, Challenge]:
        """The header for a second attempt. Raises `device_credentials` when there must be none."""
        if self._credentials is None:
            raise _credentials("The device asks for an account. Log in to it first.")
        challenges = parse_challenges(headers)
        if tried and not any(challenge.stale for challenge in challenges):
            raise self.refused()
        chosen = self._choose(challenges)
        return self._header(chosen, method, uri), chosen

    def accepted(self, challenge: Challenge) -> None:
        """Keep a challenge that worked. Old servers (no qop) may renew nonces without calling the old one stale,
        which looks like a wrong password: there every request asks for a challenge first."""
        self._remembered = challenge if challenge.scheme == "basic" or challenge.qop else None

    def refused(self) -> FarsiteError:
        """The password was wrong: forget what worked before."""
        self._remembered = None
        name = self._credentials.username if self._credentials else ""
        return _credentials(
            f"The device refused the password of {clean(name)!r}. It was not tried again, so that the device does "
            "not block the account. Log in with the right password."
        )

    def _choose(self, challenges: list[Challenge]) -> Challenge:
        usable = [challenge for challenge in challenges if challenge.usable]
        allowed = [challenge for challenge in usable if challenge.scheme == "digest" or self._basic_allowed]
        if allowed:
            return min(allowed, key=lambda challenge: challenge.scheme != "digest")
        if usable:
            raise _credentials(
                "The device offers only Basic authentication over plain HTTP, which would show the password to "
                "everyone on the way. Switch on HTTPS or Digest on the device, or allow Basic for it."
            )
        raise FarsiteError(
            ErrorCode.DEVICE_ANSWER,
            "The device asks for a login of an unknown kind; Digest or Basic is needed.",
        )

    def _header(self, challenge: Challenge, method: str, uri: str) -> str:
        assert self._credentials is not None
        if challenge.scheme == "basic":
            return _basic(self._credentials)
        count = self._count(challenge.values["nonce"])
        return digest_header(self._credentials, challenge, method, uri, count, secrets.token_hex(8))

    def _count(self, nonce: str) -> int:
        """Requests may run side by side, each with a nonce of its own at first."""
        self._counts[nonce] = self._counts.get(nonce, 0) + 1
        if len(self._counts) > MAX_NONCES:
            del self._counts[next(iter(self._counts))]
        return self._counts[nonce]


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def digest_header(
    credentials: Credentials, challenge: Challenge, method: str, uri: str, count: int, client_nonce: str
) -> str:
    """RFC 7616 3.4.1 with qop `auth`; without qop the form of RFC 2069. `uri` is the exact request target."""
    nonce, realm = challenge.values["nonce"], challenge.realm
    ha1 = challenge.digest(f"{credentials.username}:{realm}:{credentials.password}")
    ha2 = challenge.digest(f"{method}:{uri}")
    quoted = {"username": credentials.username, "realm": realm, "nonce": nonce, "uri": uri}
    plain: dict[str, str] = {}
    if challenge.qop:
        plain = {"qop": "auth", "nc": f"{count:08x}"}
        quoted["cnonce"] = client_nonce
        response = challenge.digest(f"{ha1}:{nonce}:{plain['nc']}:{client_nonce}:auth:{ha2}")
    else:
        response = challenge.digest(f"{ha1}:{nonce}:{ha2}")
    quoted["response"] = response
    if "opaque" in challenge.values:
        quoted["opaque"] = challenge.values["opaque"]
    if "algorithm" in challenge.values:
        plain["algorithm"] = challenge.values["algorithm"]
    fields = [f'{name}="{_escape(value)}"' for name, value in quoted.items()]
    return "Digest " + ", ".join(fields + [f"{name}={value}" for name, value in plain.items()])


def _escape(value: str) -> str:
    """Values came out of the device's header: nothing may end the header or the quotes."""
    safe = "".join(char for char in value if char.isprintable())
    return safe.replace("\\", "\\\\").replace('"', '\\"')


def _credentials(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.DEVICE_CREDENTIALS, detail)
