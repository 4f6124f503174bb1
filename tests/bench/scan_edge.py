"""One edge host that scans; prints what it took as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from farsite_edge.testing import run_edge
from farsite_signaling.wire.discovery_api import ScanRequest
from farsite_signaling.wire.edge_tasks import TaskState
from tests.bench.harness import loop_factory

MIB = 1024 * 1024


def memory() -> float:
    """Resident, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


async def main(targets: str, cancel_after: float | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        options: dict[str, Any] = {"poll_interval": 3600, "discovery_interval": 3600}
        async with run_edge(Path(folder), allow_loopback_devices=False, **options) as edge:
            await asyncio.sleep(1)
            return await measured(edge.host, targets, cancel_after)


async def measured(host: Any, targets: str, cancel_after: float | None) -> dict[str, Any]:
    idle, most, cancelled_at = memory(), memory(), 0.0
    begun, used = time.monotonic(), time.process_time()
    request = ScanRequest(targets=[targets])
    started = await host.scans.start(request, actor="bench", session=None, idempotency=None)
    task = started.task.id
    while not (shown := await host.tasks.shown(task)).state.finished:
        most = max(most, memory())
        if cancel_after is not None and not cancelled_at and time.monotonic() - begun > cancel_after:
            cancelled_at = time.monotonic()
            await host.tasks.cancel(task)
        await host.tasks.changed(0.1)
    seconds = time.monotonic() - begun
    assert shown.state in (TaskState.SUCCEEDED, TaskState.CANCELLED), shown
    return {
        "state": shown.state,
        "addresses": started.addresses,
        "seconds": seconds,
        "cpu_percent": (time.process_time() - used) / seconds * 100,
        "found": len(host.registry.all()),
        "memory_idle_mb": idle,
        "memory_mb": most - idle,
        "cancel_seconds": time.monotonic() - cancelled_at if cancelled_at else 0.0,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("targets")
    parser.add_argument("--cancel-after", type=float)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        print(json.dumps(runner.run(main(given.targets, given.cancel_after))))
