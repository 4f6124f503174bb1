"""Whether own addresses may have changed: Linux says so (rtnetlink(7)). Asking for all of them takes it milliseconds."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINKS, _IPV4, _IPV6 = 0x1, 0x10, 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""
_MESSAGES = 64 * 1024


@contextmanager
def address_news() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether something may have changed since it was last called, or since the beginning.

    Where the system does not say, or forbids to ask, it is always true.
    """
    news = _subscribed()
    if news is None:
        yield lambda: True
        return
    with news:
        yield lambda: _heard(news)


def _subscribed() -> socket.socket | None:
    if sys.platform != "linux":
        return None
    try:
        news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError:
        return None
    try:
        news.setblocking(False)
        news.bind((0, _LINKS | _IPV4 | _IPV6))
    except OSError:
        news.close()
        return None
    return news


def _heard(news: socket.socket) -> bool:
    """Reads all there is. An overflow (ENOBUFS) is news that was lost."""
    heard = False
    while True:
        try:
            news.recv(_MESSAGES)
        except BlockingIOError:
            return heard
        except OSError:
            return True
        heard = True
