"""Shows a task while it runs: a bar on a terminal, steps as JSON lines, nothing else where output is kept."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from farsite_client.cli.output import Output, clean
from farsite_client.edge_tasks import TaskClient
from farsite_signaling.wire.edge_tasks import Task, TaskDetail, TaskEvents

SHORT = 12
"""As many characters of an id tell tasks apart."""


@asynccontextmanager
async def going_on(output: Output, said: str) -> AsyncIterator[None]:
    """An interrupt ends the looking, not the work."""
    try:
        yield
    except asyncio.CancelledError:
        output.note(said)
        raise


async def follow(tasks: TaskClient, task: str, output: Output) -> TaskDetail:
    """Until it is finished; with `--json` one line per step, `{"event": "step", …}`."""
    events = tasks.follow(task)
    said = f"The task {task[:SHORT]} goes on. Look at it: farsite tasks EDGE show {task[:SHORT]} --wait"
    async with going_on(output, said), aclosing(events):
        if sys.stderr.isatty() and not output.as_json:
            await _with_bar(events)
        else:
            await _with_lines(events, output)
    return await tasks.get(task)


async def _with_lines(events: AsyncGenerator[TaskEvents, None], output: Output) -> None:
    async for seen in events:
        for step in seen.steps:
            if output.as_json:
                output.json({"event": "step", **step.model_dump(mode="json")})
            else:
                output.note(f"{step.device}  {step.step}  {step.detail}")


async def _with_bar(events: AsyncGenerator[TaskEvents, None]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=1.0)
        async for seen in events:
            progress.update(bar, completed=seen.task.progress, description=_line(seen.task))


def _line(task: Task) -> str:
    counts = task.counts
    failed = f", {counts.failed} failed" if counts.failed else ""
    return clean(f"{task.title}: {counts.done} of {counts.total}{failed} {task.detail}").strip()
