"""Which requests may pass a local port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_client.guard import check_head
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

PORT = 4711


def head(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.1", "Host: 127.0.0.1:4711"),
        ("GET /a?b=c HTTP/1.1", "host: LOCALHOST:4711"),
        (
            "POST / HTTP/1.1",
            "Host: localhost:4711",
            "Origin: http://localhost:4711",
            "Sec-Fetch-Site: same-origin",
        ),
        ("GET / HTTP/1.1", "Host: [::1]:4711", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
    ],
)
def test_requests_for_this_port_pass(lines: tuple[str, ...]) -> None:
    check_head(head(*lines), PORT)


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.1", "Host: attacker.example:4711"),
        ("GET / HTTP/1.1", "Host: 127.0.0.1.attacker.example:4711"),
        ("GET / HTTP/1.1", "Host: 127.0.0.1"),
        ("GET / HTTP/1.1", "Host: 127.0.0.1:4712"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1:4711", "Origin: https://attacker.example"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1:4711", "Origin: null"),
        ("GET / HTTP/1.1", "Host: 127.0.0.1:4711", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
        ("POST / HTTP/1.1", "Host: 127.0.0.1:4711", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
    ],
)
def test_requests_other_pages_make_are_forbidden(lines: tuple[str, ...]) -> None:
    with pytest.raises(FarsiteError) as caught:
        check_head(head(*lines), PORT)
    assert caught.value.code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    "data",
    [
        head("GET / HTTP/1.1"),
        head("GET / HTTP/1.1", "Host: 127.0.0.1:4711", "Host: attacker.example"),
        head("GET http://attacker.example/ HTTP/1.1", "Host: 127.0.0.1:4711"),
        head("CONNECT attacker.example:80 HTTP/1.1", "Host: 127.0.0.1:4711"),
        head("GET / HTTP/1.1", "X: y", " Host: 127.0.0.1:4711"),
        head("GET / HTTP/1.1", "Host : 127.0.0.1:4711"),
        b"GET / HTTP/1.1\nHost: attacker.example\r\nHost: 127.0.0.1:4711\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    ],
)
def test_what_servers_may_read_differently_is_refused(data: bytes) -> None:
    with pytest.raises(FarsiteError) as caught:
        check_head(data, PORT)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    with pytest.raises(FarsiteError):
        check_head(data + b"\r\n\r\n", PORT)
