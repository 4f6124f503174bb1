"""The simulated devices of the fleet: one at each address of a network, on the same two ports."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from dataclasses import replace

from farsite_edge.simulator import Simulator, describe
from tests.bench.harness import loop_factory
from tests.bench.memory import resident

BOOT_SECONDS, INSTALL_SECONDS = 2.0, 0.2


async def main(count: int, bind: str, port: int) -> None:
    begun, before = time.monotonic(), resident()
    described = [
        replace(one, boot_seconds=BOOT_SECONDS, install_seconds=INSTALL_SECONDS) for one in describe(count)
    ]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Simulator(described, bind=bind, first_port=port) as simulator:
        ready = {"seconds": time.monotonic() - begun, "memory_mb": resident() - before}
        print(json.dumps(ready | {"devices": len(simulator.devices)}), flush=True)
        await stop.wait()
    print(json.dumps({"memory_mb": resident() - before, "cpu_seconds": time.process_time()}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--bind", default="127.77.0.0/20")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(given.count, given.bind, given.port))
