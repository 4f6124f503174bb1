"""Finding a relay that an earlier run left behind, and stopping it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from farsite_signaling.processes import STOP_SECONDS

POLL_SECONDS = 0.05


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
