"""Clients that die: `python -m tests.bench.sessions_victims EDGE HOME …`; each line read kills one after so many seconds.

Each is a process of its own, forked from this one with everything imported, so that its whole life is the connection;
SIGKILL ends it wherever it is then. Profiles take turns: an edge host lets one client open a few sessions at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from pathlib import Path

from farsite_client.profile import Profile
from farsite_signaling.peer.rtc import preload
from tests.lab.reach import reaching


async def live(profile: Profile, edge: str) -> None:
    async with reaching(profile, edge) as reach, reach.opened():
        await asyncio.Event().wait()


def main(edge: str, homes: list[str]) -> None:
    preload()
    print("ready", flush=True)
    for line, home in zip(sys.stdin, itertools.cycle(homes), strict=False):
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(live(Profile(Path(home)), edge))
            finally:
                os._exit(1)
        time.sleep(float(line))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
