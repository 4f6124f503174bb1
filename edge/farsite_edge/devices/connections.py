"""Connections to devices: some kept for the next question, some closed after the first."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import aiohttp

MOST = 128
MOST_OF_ONE = 8
"""Old firmware serves fewer than ten at a time."""
KEPT_SECONDS = 1.0
"""Long enough for the next question of the same work. A TLS connection takes some 300 KiB here and more of a device
than it can spare, so that thousands of them are not kept."""


class Connections:
    """`async with`. `kept`: for work that asks a device one question after the other; `single`: for a look at it."""

    kept: aiohttp.ClientSession
    single: aiohttp.ClientSession

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            kept = aiohttp.TCPConnector(
                limit=MOST, limit_per_host=MOST_OF_ONE, keepalive_timeout=KEPT_SECONDS
            )
            self.kept = await stack.enter_async_context(_session(kept))
            single = aiohttp.TCPConnector(limit=MOST, force_close=True)
            self.single = await stack.enter_async_context(_session(single))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
