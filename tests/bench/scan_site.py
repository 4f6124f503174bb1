"""The devices of the scan's network: one at each address given, on ports 80 and 443."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace

from farsite_edge.simulator import Simulator, describe


async def main(addresses: list[str]) -> None:
    described = [
        replace(one, address=address, http_port=80, https_port=443)
        for one, address in zip(describe(len(addresses)), addresses, strict=True)
    ]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Simulator(described):
        print("ready", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
