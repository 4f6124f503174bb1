"""Attempts beside one that hangs: on a network that has just come back, a fresh one is there first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from farsite_signaling.wire.errors import FarsiteError

T = TypeVar("T")
Attempt = Callable[[], Awaitable[T]]
Tried = asyncio.Task[T | FarsiteError]


async def staggered(
    attempt: Attempt[T], discard: Callable[[T], Awaitable[None]], every: float, most: int
) -> T:
    """What the first attempt that succeeds gives. While none has ended another one begins every so many seconds, `most`
    in all; the first failure is everybody's, and is raised. `discard` gets what comes too late."""
    tried: list[Tried[T]] = []
    first: Tried[T] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            try:
                first = await _first(group, attempt, every, most, tried)
            finally:
                for one in tried:
                    one.cancel()
        return await _given(first)
    finally:
        for one in tried:
            if (
                one is not first
                and not one.cancelled()
                and not isinstance(late := one.result(), FarsiteError)
            ):
                await discard(late)


async def _first(
    group: asyncio.TaskGroup, attempt: Attempt[T], every: float, most: int, tried: list[Tried[T]]
) -> Tried[T]:
    while True:
        if len(tried) < most:
            tried.append(group.create_task(_try(attempt), name=f"attempt {len(tried) + 1}"))
        patience = every if len(tried) < most else None
        done, _ = await asyncio.wait(tried, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if done:
            return min(done, key=_failed)


async def _try(attempt: Attempt[T]) -> T | FarsiteError:
    try:
        return await attempt()
    except FarsiteError as error:
        return error


def _failed(one: Tried[T]) -> bool:
    return one.cancelled() or isinstance(one.result(), FarsiteError)


async def _given(first: Tried[T]) -> T:
    result = await first
    if isinstance(result, FarsiteError):
        raise result
    return result
