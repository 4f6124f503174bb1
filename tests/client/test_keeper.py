"""Sessions that come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from farsite_client.keeper import KeeperState, SessionKeeper
from farsite_client.session import RemoteSession
from farsite_client.testing import Site, memory_session
from farsite_signaling.peer.backoff import Backoff
from farsite_signaling.peer.testing import MemoryLink
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class Opener:
    """Opens sessions over memory; `refusals` come first."""

    def __init__(self, *refusals: FarsiteError) -> None:
        self.refusals = list(refusals)
        self.links: list[MemoryLink] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[RemoteSession]:
        if self.refusals:
            raise self.refusals.pop(0)
        async with memory_session(Site()) as (session, link):
            self.links.append(link)
            yield session


def keeper(opener: Opener, wait: float = 5.0) -> SessionKeeper:
    return SessionKeeper(opener.open, wait=wait, backoff=Backoff(first=0.001, cap=0.01))


OFFLINE = FarsiteError(ErrorCode.EDGE_OFFLINE, "The edge host is not connected.")


async def test_a_lost_session_comes_back() -> None:
    opener = Opener()
    async with keeper(opener) as kept:
        first = await kept.live()
        opener.refusals = [OFFLINE, OFFLINE]
        opener.links[0].cut(FarsiteError(ErrorCode.PEER_TIMEOUT, "The edge host fell silent."))
        await first.wait_closed()
        while kept.session is first:
            await asyncio.sleep(0)
        second = await kept.live()
        assert second is not first and second.status().session == "s1"
        assert kept.reconnects == 3
        assert kept.last_error is OFFLINE and kept.last_error_at is not None
    assert kept.session is None


async def test_the_first_session_must_open() -> None:
    with pytest.raises(FarsiteError) as caught:
        async with keeper(Opener(OFFLINE)):
            pass
    assert caught.value is OFFLINE


async def test_streams_wait_a_little_then_say_why() -> None:
    opener = Opener()
    async with keeper(opener, wait=0.05) as kept:
        opener.refusals = [OFFLINE] * 100_000
        opener.links[0].cut()
        while kept.session is not None:
            await asyncio.sleep(0)
        with pytest.raises(FarsiteError) as caught:
            await kept.live()
        assert caught.value.code in (ErrorCode.EDGE_OFFLINE, ErrorCode.PEER_UNREACHABLE)


async def test_what_waiting_does_not_cure_ends_it() -> None:
    opener = Opener()
    async with keeper(opener) as kept:
        opener.refusals = [FarsiteError(ErrorCode.TOKEN_EXPIRED, "Sign in again.")]
        opener.links[0].cut()
        error = await kept.ended()
        assert error is not None and error.code is ErrorCode.TOKEN_EXPIRED
        assert kept.state is KeeperState.ENDED
        with pytest.raises(FarsiteError):
            await kept.live()
