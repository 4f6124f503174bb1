"""Stopping processes in bounded time, and finding a relay an earlier run left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

STOP_SECONDS = 5.0
POLL_SECONDS = 0.05


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ask, wait, then kill. Idempotent."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def leftover(pid_file: Path, config_file: Path) -> int | None:
    """The process in `pid_file`, if it runs with exactly this configuration (Linux; elsewhere `None`)."""
    try:
        pid = int(pid_file.read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(config_file) in arguments else None


async def stop_other(pid: int) -> None:
    """Stop a process that is not our child."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                # No event tells of the end of a process that is not our child.
                while _alive(pid):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
                return


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
