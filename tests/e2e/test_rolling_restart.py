"""N8: two cloud processes restarted one after the other, and one killed, under a fleet and a session in use."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.bench.nodes import cluster
from tests.bench.rolling import Step, fleet, restart, traffic

PEERS = 100
pytestmark = pytest.mark.timeout(180)


async def test_a_fleet_and_a_session_outlive_a_rolling_restart(tmp_path: Path) -> None:
    async with cluster(tmp_path) as cloud, fleet(cloud, tmp_path, PEERS) as peers:
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
        assert (kept, used.moves, used.whole) == (0, 1, True)
    first, first_back, second, second_back = steps
    assert len(first.away) + len(second.away) >= PEERS
    for one in (first, second):
        assert max(one.away) < 10 + 5, "ten seconds are promised; the machine may be busy"
        # Each came back with a few attempts, drawn at random.
        assert one.attempts < 4 * len(one.away)
    for one in (first_back, second_back):
        assert one.away == [], "nobody leaves a process because another one is back"
