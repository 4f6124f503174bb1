"""Runs benchmarks by name: a table for people, `build/bench/NAME.json` for machines.

A bar is what a figure is held to. A figure without a bar is shown for comparison only. Nothing here fails a run:
a bar that does not hold is reported as such.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

FOLDER = Path("build/bench")


@dataclass(frozen=True)
class Figure:
    """`bar` and `value` are in `unit`; `better` says on which side of the bar it holds."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    better: Literal["higher", "lower"] = "higher"

    @property
    def holds(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value >= self.bar if self.better == "higher" else self.value <= self.bar


@dataclass
class Result:
    """`rows`: single measurements, as the benchmark likes."""

    figures: list[Figure]
    rows: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""


Benchmark = Callable[[], Awaitable[Result]]


def machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(name: str, benchmark: Benchmark) -> Result:
    """On uvloop where there is one, as the product runs."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        result = runner.run(_measure(benchmark))
    _save(name, result)
    _show(name, result)
    return result


async def _measure(benchmark: Benchmark) -> Result:
    return await benchmark()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _save(name: str, result: Result) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = [asdict(figure) | {"holds": figure.holds} for figure in result.figures]
    data = {
        "name": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "note": result.note,
        "figures": figures,
        "rows": result.rows,
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n")


def _show(name: str, result: Result) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "unit", "bar", "holds", title=name)
    for figure in result.figures:
        sign = "≥" if figure.better == "higher" else "≤"
        bar = "" if figure.bar is None else f"{sign} {figure.bar:g}"
        holds = {True: "yes", False: "NO", None: ""}[figure.holds]
        table.add_row(figure.what, f"{figure.value:.4g}", figure.unit, bar, holds)
    console = Console()
    console.print(table)
    if result.note:
        console.print(result.note)
