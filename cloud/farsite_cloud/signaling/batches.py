"""Questions that many ask at once, answered together: what one unit of work costs is then shared by all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Asked = TypeVar("Asked")
Told = TypeVar("Told")
MOST = 64
"""Answers at once: what is done with them afterwards keeps everybody else waiting for a while."""


class Batches(Generic[Asked, Told]):
    """One question alone is answered at once; those that come meanwhile wait for that, and are the next batch.

    `answer` is given the questions of a batch by number, and gives answers or refusals by the same numbers. It may
    raise: then all of them have failed. Nothing is remembered: every answer was looked for after its question came.
    """

    def __init__(
        self, answer: Callable[[Mapping[int, Asked]], Awaitable[Mapping[int, Told | FarsiteError]]]
    ) -> None:
        self._answer = answer
        self._waiting: list[tuple[Asked, asyncio.Future[Told]]] = []
        self._wanted = asyncio.Event()
        self._closed = False

    async def ask(self, question: Asked) -> Told:
        """Raises what the question is refused with, and whatever `answer` raised."""
        if self._closed:
            raise _closing()
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._wanted.set()
        return await future

    async def run(self) -> None:
        """For ever."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._waiting:
                    await self._next()
        finally:
            self._closed = True
            _fail([future for _, future in self._waiting], _closing())

    async def _next(self) -> None:
        taken, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        batch = [one for one in taken if not one[1].done()]
        if not batch:
            return
        futures = [future for _, future in batch]
        try:
            answers = await self._answer({number: asked for number, (asked, _) in enumerate(batch)})
        except asyncio.CancelledError:
            _fail(futures, _closing())
            raise
        except Exception as error:
            _fail(futures, error)
        else:
            for number, future in enumerate(futures):
                _settle(future, answers[number])


def _settle(future: asyncio.Future[Told], answer: Told | FarsiteError) -> None:
    if future.done():  # who asked has gone
        return
    if isinstance(answer, FarsiteError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _fail(futures: list[asyncio.Future[Told]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _closing() -> FarsiteError:
    return FarsiteError(ErrorCode.UNAVAILABLE, "The cloud is closing.", retry_after=1.0)
