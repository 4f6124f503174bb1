"""Proxy addresses: what is accepted, what is refused, and that a password never shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_signaling.peer.proxy import Proxy, parse_proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy.example:3128", Proxy("http", "proxy.example", 3128)),
        ("proxy.example:3128", Proxy("http", "proxy.example", 3128)),
        ("  http://proxy.example:3128/ ", Proxy("http", "proxy.example", 3128)),
        ("http://proxy.example", Proxy("http", "proxy.example", 80)),
        ("HTTPS://Proxy.Example", Proxy("https", "proxy.example", 443)),
        ("socks5://10.0.0.1", Proxy("socks5", "10.0.0.1", 1080)),
        ("socks5h://10.0.0.1:9", Proxy("socks5h", "10.0.0.1", 9)),
        ("http://[2001:db8::1]:3128", Proxy("http", "2001:db8::1", 3128)),
        ("http://anna:s%40f%2Fe@p:1", Proxy("http", "p", 1, "anna", "s@f/e")),
        ("http://anna:p@ss@p:1", Proxy("http", "p", 1, "anna", "p@ss")),
        ("http://anna@p:1", Proxy("http", "p", 1, "anna", "")),
        ("http://prøxy.example:8080", Proxy("http", "xn--prxy-hra.example", 8080)),
    ],
)
def test_accepted(text: str, expected: Proxy) -> None:
    assert parse_proxy(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("ftp://host:21", "scheme"),
        ("http://", "host is missing"),
        ("http://:3128", "host is missing"),
        ("http://host:0", "port"),
        ("http://host:70000", "port"),
        ("http://host:port", "port"),
        ("http://host:3128/path", "nothing may follow"),
        ("http://user:secr#et@host:1", "port"),
        ("http://user:secr/et@host:1", "port"),
        ("http://user:secret@host:1?x=secret", "nothing may follow"),
        ("http://[::1", "IPv6"),
        ("http://ho st:1", "spaces"),
        ("http://host\n:1", "spaces"),
        ("http://user:secret%ff@host:1", "escape"),
        ("http://" + "a" * 600, "too long"),
        ("http://" + "a" * 90 + ":1", "host name"),
    ],
)
def test_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(FarsiteError) as refused:
        parse_proxy(text)
    assert refused.value.code is ErrorCode.SETTING_INVALID
    assert reason in refused.value.detail
    assert "secr" not in refused.value.detail


def test_password_never_shows() -> None:
    proxy = parse_proxy("http://anna:hunter2@proxy.example:3128")
    assert "hunter2" not in f"{proxy} {proxy!r} {proxy.redacted}"
    assert proxy.redacted == "http://anna:***@proxy.example:3128"
    assert proxy.url == "http://anna:hunter2@proxy.example:3128"


@given(username=st.text(max_size=20), password=st.text(max_size=20))
def test_url_round_trip(username: str, password: str) -> None:
    """Any user name and password survive being written as a URL."""
    try:
        proxy = Proxy("socks5", "::1", 1080, username, password)
        url = proxy.url
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    if len(url) <= 500:
        assert parse_proxy(url) == proxy


@given(st.text(max_size=100))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        assert parse_proxy(text).host
    except FarsiteError as error:
        assert error.code is ErrorCode.SETTING_INVALID
