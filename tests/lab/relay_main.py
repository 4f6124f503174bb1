"""A relay with the shipped configuration, run inside a namespace: prints `ready`, ends with its standard input."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from farsite_cloud.turn.config import TurnSettings
from farsite_cloud.turn.supervisor import TurnServer


async def main(addresses: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="farsite-turn-") as directory:
        settings = TurnSettings(
            host=addresses[0],
            secrets=("the-secret-of-the-lab",),
            listening_ips=tuple(addresses),
            alt_tls_port=443,
            data_dir=Path(directory),
        )
        async with TurnServer(settings) as server:
            print("ready" if server.running else f"failed: {server.problem}", flush=True)
            await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(sys.argv[1:]))
