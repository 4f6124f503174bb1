"""Who may speak to a local port: judges the head of a connection's first HTTP request.

A web page from anywhere can make a browser connect to 127.0.0.1. With DNS rebinding it even reads the answers: its
own name then resolves to 127.0.0.1, but the browser still says that name in `Host`. Such requests are refused before
a byte is forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MAX_HEAD = 32 * 1024
END = b"\r\n\r\n"
_TRUSTED_SITES = {b"same-origin", b"none"}


def allowed_hosts(port: int) -> frozenset[bytes]:
    names = ("127.0.0.1", "localhost", "[::1]")
    hosts = {f"{name}:{port}".encode() for name in names}
    if port == 80:
        hosts |= {name.encode() for name in names}
    return frozenset(hosts)


def check_head(head: bytes, port: int) -> None:
    """Raises `FarsiteError` (`forbidden`, `invalid_request`) unless the request is meant for this local port.

    `head`: request line and header fields up to the empty line, as they came (RFC 9112).
    """
    line, *fields = head.removesuffix(END).split(b"\r\n")
    if b"\n" in head.replace(b"\r\n", b"") or b"\x00" in head:
        raise _invalid("its lines do not end as HTTP's do")
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise _invalid("this port speaks HTTP/1.1")
    if not parts[1].startswith(b"/"):
        raise _invalid("this port is no proxy")
    check_fields(_fields(fields), port, method=parts[0])


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        # A name with space in or around it, or a folded line, is read differently by different servers.
        if not colon or not name or name != name.strip() or b" " in name or b"\t" in name:
            raise _invalid("a header field is damaged")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields


def check_fields(fields: Iterable[tuple[bytes, bytes]], port: int, *, method: bytes) -> None:
    """Judge `Host`, `Origin` and `Sec-Fetch-Site`; names in lower case. Raises as `check_head`."""
    fields = list(fields)
    hosts = allowed_hosts(port)
    named = [value.lower() for name, value in fields if name == b"host"]
    if len(named) != 1:
        raise _invalid("it needs exactly one Host")
    if named[0] not in hosts:
        raise _forbidden(f"it was made for {_show(named[0])}")
    origins = [value.lower() for name, value in fields if name == b"origin"]
    if any(origin.partition(b"://")[2] not in hosts for origin in origins):
        raise _forbidden(f"it comes from a page of {_show(origins[0])}")
    if _from_another_site(fields, method):
        raise _forbidden("it comes from a page of another site")


def _from_another_site(fields: list[tuple[bytes, bytes]], method: bytes) -> bool:
    """Fetch Metadata: only a followed link may come from elsewhere."""
    said = dict(fields)
    site = said.get(b"sec-fetch-site")
    if site is None or site in _TRUSTED_SITES:
        return False
    return not (method == b"GET" and said.get(b"sec-fetch-mode") == b"navigate")


def _show(value: bytes) -> str:
    return repr(value[:100].decode("ascii", "replace"))


def _invalid(reason: str) -> FarsiteError:
    return FarsiteError(ErrorCode.INVALID_REQUEST, f"The request is refused: {reason}.")


def _forbidden(reason: str) -> FarsiteError:
    return FarsiteError(
        ErrorCode.FORBIDDEN,
        f"The request is refused: {reason}, not for this address. Open the address that farsite printed.",
    )
