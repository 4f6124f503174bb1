"""Tasks that fill a queue while an async iterator hands its items out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


async def drain(
    results: asyncio.Queue[T | None], work: Mapping[str, Coroutine[Any, Any, None]], end: float | None = None
) -> AsyncGenerator[T, None]:
    """Items of `results` until None comes or the loop's clock passes `end`; then `work` (by task name) is cancelled.

    Close it (`contextlib.aclosing`) when leaving early: closing waits until the work has stopped.
    """
    async with asyncio.TaskGroup() as tasks:
        owned = [tasks.create_task(one, name=name) for name, one in work.items()]
        try:
            while (item := await _next(results, end)) is not None:
                yield item
        except GeneratorExit:
            return  # a task group would take it for an error of the body
        finally:
            for task in owned:
                task.cancel()


async def _next(results: asyncio.Queue[T | None], end: float | None) -> T | None:
    try:
        async with asyncio.timeout_at(end):
            return await results.get()
    except TimeoutError:
        return None
