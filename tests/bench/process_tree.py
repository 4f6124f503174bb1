"""What a process and all that it started use (Linux)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HOOKS = Path(__file__).with_name("hooks")
_TICKS = os.sysconf("SC_CLK_TCK")
_CATCHES_USR1 = 1 << (signal.SIGUSR1 - 1)
ANSWER_SECONDS = 10.0


def hooked(folder: Path) -> dict[str, str]:
    """Environment of a process whose tasks are to be counted, in `folder`."""
    folder.mkdir()
    return {"PYTHONPATH": str(HOOKS), "BENCH_TASKS": str(folder)}


@dataclass(frozen=True)
class Usage:
    """`memory`: KiB, shared pages divided among those who share them (PSS). `cpu`: seconds, of ended children too."""

    processes: int
    memory: float
    cpu: float
    descriptors: int
    tasks: Counter[str] = field(default_factory=Counter)


def pids(root: int) -> list[int]:
    found = [root]
    for pid in found:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def usage(root: int) -> Usage:
    tree = pids(root)
    memory = sum(_number(Path(f"/proc/{pid}/smaps_rollup").read_text(), r"^Pss:\s+(\d+)") for pid in tree)
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in tree)
    return Usage(len(tree), memory, sum(map(_cpu, tree)), descriptors)


async def full_usage(root: int, folder: Path) -> Usage:
    """With its tasks, as the `hooks` count them."""
    tasks: Counter[str] = Counter()
    for pid in pids(root):
        if _catches(pid):
            tasks += await _ask(pid, folder / str(pid))
    now = usage(root)
    return Usage(now.processes, now.memory, now.cpu, now.descriptors, tasks)


async def _ask(pid: int, answer: Path) -> Counter[str]:
    answer.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    async with asyncio.timeout(ANSWER_SECONDS):
        while not answer.exists():
            await asyncio.sleep(0.01)
    return Counter(json.loads(answer.read_text()))


def _catches(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = re.search(r"^SigCgt:\s+(\w+)", status, re.MULTILINE)
    return mask is not None and bool(int(mask[1], 16) & _CATCHES_USR1)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found else 0
