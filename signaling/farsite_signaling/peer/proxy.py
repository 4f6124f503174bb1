"""The proxy between a site and the internet, as administrators write it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import SplitResult, quote, unquote, urlsplit

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Scheme = Literal["http", "https", "socks5", "socks5h"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
_DEFAULT_PORTS: dict[str, int] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_EXAMPLE = "http://user:password@host:port or socks5://host:port"
_MAX_LENGTH = 500


@dataclass(frozen=True)
class Proxy:
    """`host` is a name or address without brackets; the password never appears in `repr` and `str`."""

    scheme: Scheme
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def address(self) -> str:
        """`host:port`, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Everything, the password too: for libraries, never for people."""
        return self._url(quote(self.password or "", safe=""))

    @property
    def redacted(self) -> str:
        """For logs, pages and messages."""
        return self._url("***")

    def _url(self, password: str) -> str:
        if self.username is None:
            return f"{self.scheme}://{self.address}"
        return f"{self.scheme}://{quote(self.username, safe='')}:{password}@{self.address}"

    def __str__(self) -> str:
        return self.redacted


def parse_proxy(text: str) -> Proxy:
    """`http`, `https` and `socks5` addresses; without a scheme, HTTP is meant.

    Raises `FarsiteError` (`setting_invalid`), whose detail never repeats what was typed: it may hold a password.
    """
    parts = _split(text.strip())
    if parts.scheme not in SCHEMES:
        raise _invalid(f"its scheme must be one of {', '.join(SCHEMES)}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _invalid("nothing may follow the port (write / ? # @ in a password as %2F %3F %23 %40)")
    return Proxy(
        parts.scheme,  # type: ignore[arg-type]
        _host(parts),
        _port(parts),
        _credential(parts.username),
        None if parts.username is None else _credential(parts.password or ""),
    )


def _split(text: str) -> SplitResult:
    if not text or len(text) > _MAX_LENGTH:
        raise _invalid("it is empty" if not text else "it is too long")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise _invalid("it contains spaces or control characters")
    try:
        return urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:
        raise _invalid("the address in brackets is no IPv6 address") from None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    try:
        return host if ":" in host else host.encode("idna").decode("ascii") or _missing_host()
    except UnicodeError:
        raise _invalid("its host name is not valid") from None


def _missing_host() -> str:
    raise _invalid("the host is missing")


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _invalid("the port must be a number from 1 to 65535")
    return port or _DEFAULT_PORTS[parts.scheme]


def _credential(text: str | None) -> str | None:
    try:
        return None if text is None else unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _invalid("user name or password hold a damaged %-escape") from None


def _invalid(reason: str) -> FarsiteError:
    return FarsiteError(
        ErrorCode.SETTING_INVALID, f"The proxy address is not valid: {reason}. Write it as {_EXAMPLE}."
    )
