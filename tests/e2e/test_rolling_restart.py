"""N8: two cloud processes restarted one after the other, one of them killed, under a fleet and a session in use."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.bench.nodes import cluster
from tests.bench.rolling import Step, fleet, restart, traffic

NewDatabase = Callable[[], AbstractAsyncContextManager[str]]
PEERS = 100
BACK = 15.0
pytestmark = pytest.mark.timeout(300)


async def test_a_fleet_and_a_session_outlive_a_rolling_restart(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with (
        new_database() as database,
        cluster(tmp_path, database=database) as cloud,
        fleet(cloud, tmp_path, PEERS) as peers,
    ):
        async with traffic(cloud, tmp_path) as used:
            share = min(cloud.balancer.held[node.port] for node in cloud.nodes)
            assert share > PEERS / 3, "both processes have their part"
            steps: list[Step] = []
            for node, how in zip(cloud.nodes, (signal.SIGTERM, signal.SIGKILL), strict=True):
                steps += [one async for one in restart(cloud, node, peers, how)]
            kept = used.moves
            # A session that needs another link while a process is away finds it through the other.
            await cloud.nodes[0].end(signal.SIGKILL)
            await used.cut()
        assert (kept, used.whole) == (0, True)
    first, first_back, second, second_back = steps
    assert len(first.away) + len(second.away) >= PEERS
    for one in (first, second):
        # How busy this machine is shows in how long they took to arrive when nothing was wrong.
        assert max(one.away) < BACK + 3 * peers.arrived
        # Each came back with a few attempts, drawn at random.
        assert one.attempts < 6 * len(one.away)
    for one in (first_back, second_back):
        assert len(one.away) < PEERS / 4, "a process that is back takes nobody from another one"
