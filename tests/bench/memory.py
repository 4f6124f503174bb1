"""What a process has in memory."""

from __future__ import annotations

from pathlib import Path

MIB = 1024 * 1024
_PAGE = 4096


def resident() -> float:
    """Of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / MIB
