"""One process at a time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from farsite_client.exclusive import exclusive
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

HOLD = """
import asyncio, sys
from pathlib import Path
from farsite_client.exclusive import exclusive
async def main():
    async with exclusive(Path(sys.argv[1])):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_turns_are_taken_inside_one_process(tmp_path: Path) -> None:
    inside = most = 0

    async def turn() -> None:
        nonlocal inside, most
        async with exclusive(tmp_path / "lock"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*[turn() for _ in range(5)])
    assert most == 1


async def test_another_process_is_waited_for_until_it_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "run" / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.readline)
    with pytest.raises(FarsiteError) as caught:
        async with exclusive(file, wait=0.1):
            pass
    assert caught.value.code is ErrorCode.TIMEOUT
    process.kill()
    process.communicate()
    async with exclusive(file, wait=5):
        pass
