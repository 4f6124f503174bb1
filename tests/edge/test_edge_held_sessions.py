"""Sessions that ended while the edge host could not be told: it asks, and closes their tunnels."""

from __future__ import annotations

import asyncio

from farsite_edge.remote.held import HeldSessions
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import SessionsHeld


class Hub:
    def __init__(self) -> None:
        self.asked: asyncio.Queue[list[str]] = asyncio.Queue()
        self.away = False

    async def send(self, message: SessionsHeld) -> None:
        if self.away:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, "away")
        self.asked.put_nowait(message.sessions)


async def _next(hub: Hub) -> list[str]:
    return await asyncio.wait_for(hub.asked.get(), 5)


async def test_it_asks_after_every_connection_and_from_time_to_time() -> None:
    hub, held = Hub(), ["s1"]
    asking = HeldSessions(lambda: held, hub.send, every=0.02)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asking.run())
        asking.connected()
        assert await _next(hub) == ["s1"]
        assert await _next(hub) == ["s1"], "again, by itself"
        hub.away = True
        asking.connected()
        held[:] = [f"s{number}" for number in range(450)]
        hub.away = False
        while (first := await _next(hub)) == ["s1"]:
            pass
        assert [len(first), len(await _next(hub)), len(await _next(hub))] == [200, 200, 50]
        task.cancel()


async def test_without_tunnels_it_asks_nothing() -> None:
    hub = Hub()
    looks: asyncio.Queue[None] = asyncio.Queue()

    def none_held() -> list[str]:
        looks.put_nowait(None)
        return []

    asking = HeldSessions(none_held, hub.send, every=0.01)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asking.run())
        for _ in range(3):
            await asyncio.wait_for(looks.get(), 5)
        task.cancel()
    assert hub.asked.empty()
