"""Linux tells when own addresses change; whoever is not told asks each time. Real changes: the lab's `test_resume`."""

from __future__ import annotations

import socket
import sys

import pytest

from farsite_signaling.peer.address_news import address_news


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_no_news_while_nothing_changes() -> None:
    with address_news() as news:
        answers = [news() for _ in range(100)]
    assert not all(answers)


@pytest.mark.parametrize("system", ["forbids", "has none"])
def test_who_is_not_told_always_asks(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError("not in this sandbox")

    if system == "forbids":
        monkeypatch.setattr(socket, "socket", refuse)
    else:
        monkeypatch.setattr(sys, "platform", "darwin")
    with address_news() as news:
        assert news()
        assert news()


def test_news_that_were_lost_are_news(monkeypatch: pytest.MonkeyPatch) -> None:
    class Overflowed:
        def __init__(self, *args: object) -> None:
            pass

        def setblocking(self, wanted: bool) -> None:
            pass

        bind = setblocking

        def recv(self, size: int) -> bytes:
            raise OSError(105, "No buffer space available")

        def __enter__(self) -> Overflowed:
            return self

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(socket, "AF_NETLINK", 16, raising=False)
    monkeypatch.setattr(socket, "NETLINK_ROUTE", 0, raising=False)
    monkeypatch.setattr(socket, "socket", Overflowed)
    with address_news() as news:
        assert news()
