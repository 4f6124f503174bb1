"""One edge host that keeps a fleet: finds it, logs in, watches, applies a policy, upgrades. Prints JSON lines."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from farsite_edge import heap
from farsite_edge.devices.credentials import Account
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.host import EdgeHost
from farsite_edge.testing import run_edge
from farsite_signaling.wire.discovery_api import ScanRequest
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.edge_tasks import Rollout, TaskState, UpgradeRequest, WorkState
from farsite_signaling.wire.policy_api import PolicyCreate
from tests.bench.harness import loop_factory
from tests.bench.memory import resident

PARALLEL, UPGRADED, POLL_SECONDS = 32, 200, 60.0
ACCOUNT = Account("root", "farsite-demo")
VERSION = "12.12.1"
NETWORK = "127.77."
"""Of the fleet: simulators that others run on this machine answer, too."""
ROUNDS_OF = {10: 30, 100: 5, 1000: 2}
"""How often a fleet is looked at for its cost: small ones oftener, so that there is something to measure."""


class Meter:
    """CPU seconds, seconds and memory since it was made."""

    def __init__(self) -> None:
        self._begun, self._used = time.monotonic(), time.process_time()

    def row(self, **more: Any) -> dict[str, Any]:
        return {
            "seconds": time.monotonic() - self._begun,
            "cpu_seconds": time.process_time() - self._used,
            "memory_mb": resident(),
        } | more


def tell(what: str, row: dict[str, Any]) -> None:
    print(json.dumps({"what": what} | row), flush=True)


async def main(targets: str, ports: list[int], images: Path, counts: list[int], phases: set[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="farsite-bench-") as folder:
        options: dict[str, Any] = {
            "poll_interval": POLL_SECONDS,
            "report_interval": 60.0,
            "discovery_interval": 86400,
            "device_timeout": 15,
            "log_in_interval": 5,
            "task_parallel": PARALLEL,
            "os_poll_interval": 0.5,
            "os_images": images,
            "policy_poll": 600,
        }
        async with run_edge(Path(folder) / "edge", **options) as edge, peak() as most:
            await asyncio.sleep(1)
            tell("idle", {"memory_mb": resident()})
            await found(edge.host, targets, ports)
            for count in counts:
                await grown(edge.host, count)
            if "status" in phases:
                await watched(edge.host)
            if "policy" in phases:
                await hardened(edge.host)
            if "upgrade" in phases:
                await upgraded(edge.host)
            tell("peak", {"memory_mb": max(most)})


@asynccontextmanager
async def peak() -> AsyncIterator[list[float]]:
    seen = [resident()]

    async def look() -> None:
        while True:
            seen[0] = max(seen[0], resident())
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(look(), name="memory")
        try:
            yield seen
        finally:
            task.cancel()


async def found(host: EdgeHost, targets: str, ports: list[int]) -> None:
    meter = Meter()
    request = ScanRequest(targets=[targets], ports=ports)
    started = await host.scans.start(request, actor="bench", session=None, idempotency=None)
    assert started.task is not None
    await finished(host, started.task.id)
    tell("found", meter.row(devices=len(host.registry.all())))


async def grown(host: EdgeHost, count: int) -> None:
    """Manage devices up to `count`, then see what looking at them costs."""
    known = spread([one for one in host.registry.all() if one.address.startswith(NETWORK)])[:count]
    new = [device for device in known if not host.registry.get(device).managed]
    count = len(known)  # what was found: not more is said to be managed
    meter = Meter()
    await host.manager.add(new)
    results = await host.manager.log_in(new, ACCOUNT)
    bad = [result.detail for result in results if not result.ok]
    assert not bad, bad[:3]
    tell("logged_in", meter.row(devices=len(new)))
    await host.monitor.round()  # the first one reads everything
    with looks(host) as made:
        meter = Meter()
        for _ in range(ROUNDS_OF.get(count, 1)):
            await host.monitor.round()
        row = meter.row(devices=count, looks=made[0])
    tell("round", row | {"cpu_ms_per_device": row["cpu_seconds"] * 1000 / made[0]})


def spread(records: list[DeviceRecord]) -> list[str]:
    """Their ids in an order whose every beginning has the same share of devices with TLS as the whole: a look at one
    costs twice what it costs without, and by serial number the oldest, without it, come first."""
    kinds = [[one for one in records if (one.https_port is None) is plain] for plain in (True, False)]
    places = [(place + 0.5) / len(kind) for kind in kinds for place in range(len(kind))]
    ordered = sorted(zip(places, [one.id for kind in kinds for one in kind], strict=True))
    return [device for _, device in ordered]


@contextmanager
def looks(host: EdgeHost) -> Iterator[list[int]]:
    """How many are made: the monitor has its own rounds, too, and with many devices one falls into the time measured."""
    made, check = [0], host.manager.looks.check

    async def counted(device: str, *, refresh: bool) -> DeviceRecord:
        made[0] += 1
        return await check(device, refresh=refresh)

    host.manager.looks.check = counted  # type: ignore[method-assign]
    try:
        yield made
    finally:
        host.manager.looks.check = check  # type: ignore[method-assign]


async def watched(host: EdgeHost) -> None:
    """Nothing but the status of all, for two intervals."""
    meter = Meter()
    await asyncio.sleep(2 * POLL_SECONDS)
    away = [one.id for one in host.registry.all(managed=True) if one.state is not DeviceState.REACHABLE]
    row = meter.row(away=len(away))
    tell("status", row | {"cpu_percent": row["cpu_seconds"] / row["seconds"] * 100})


async def hardened(host: EdgeHost) -> None:
    service = host.policies.service
    record = await service.create(PolicyCreate(kind="security", name="Bench"), actor="bench")
    ids = [one.id for one in host.registry.all(managed=True)]
    meter = Meter()
    await service.assign(record.id, ids)
    task = await service.check(record.id, actor="bench")
    assert task is not None
    await finished(host, task.id)
    rows = await host.tasks.rows(task.id)
    done = sum(row.state is WorkState.SUCCEEDED for row in rows)
    said = sorted({row.detail for row in rows if row.state is not WorkState.SUCCEEDED})[:3]
    tell("policy", meter.row(devices=len(rows), done=done, said=said))


async def upgraded(host: EdgeHost) -> None:
    """One alone, then many, all of the models there is an image for."""
    models = {model for image in (await host.os.images()).images for model in image.models}
    chosen = [one.id for one in host.registry.all(managed=True) if one.model in models][: UPGRADED + 1]
    alone = await upgrade(host, chosen[:1])
    tell("upgrade_one", alone)
    tell("upgrade", await upgrade(host, chosen[1:]))


async def upgrade(host: EdgeHost, ids: list[str]) -> dict[str, Any]:
    meter = Meter()
    request = UpgradeRequest(ids=ids, version=VERSION, rollout=Rollout(parallel=PARALLEL))
    record = await host.os.upgrade(
        request, lambda _device: True, actor="bench", session=None, idempotency=None
    )
    await finished(host, record.id)
    rows = await host.tasks.rows(record.id)
    done = sum(row.state is WorkState.SUCCEEDED for row in rows)
    said = sorted({row.detail for row in rows if row.state is not WorkState.SUCCEEDED})[:3]
    return meter.row(devices=len(ids), done=done, said=said)


async def finished(host: EdgeHost, task: str) -> TaskState:
    while not (shown := await host.tasks.shown(task)).state.finished:
        await asyncio.sleep(0.1)  # as seldom as somebody who watches it
    return shown.state


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("targets")
    parser.add_argument("--ports", type=int, nargs="+", default=[8080, 8443])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--phases", nargs="*", default=["status", "policy", "upgrade"])
    parser.add_argument("--profile", action="store_true", help="what takes the time, on standard error")
    given = parser.parse_args()
    heap.tidy()  # as the edge host's own process begins
    profile = cProfile.Profile() if given.profile else None
    with profile or nullcontext(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(given.targets, given.ports, given.images, given.counts, set(given.phases)))
    if profile is not None:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(60)
