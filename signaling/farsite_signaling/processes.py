"""Child processes end in bounded time."""

from __future__ import annotations

import asyncio
import contextlib

STOP_SECONDS = 5.0


async def stop(process: asyncio.subprocess.Process, within: float = STOP_SECONDS) -> None:
    """Ask, wait so many seconds, then kill. Idempotent. Somebody has to read the process's pipes meanwhile."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(within):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
