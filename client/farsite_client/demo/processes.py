"""The demo's other parts as processes of their own, followed by the JSON lines they print."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from farsite_signaling.processes import stop
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, Problem

STOP_SECONDS = 8.0
LINE_LIMIT = 1024 * 1024


class Part:
    """One `farsite …` process. `async with` starts it; leaving terminates it, within `STOP_SECONDS`.

    A part also stops by itself when this process is gone, whatever ended it.
    """

    def __init__(
        self,
        title: str,
        arguments: Sequence[str],
        *,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.title = title
        self._command = [*prefix, sys.executable, "-m", "farsite_client.demo.kept", *arguments, "--json"]
        self._environment = environment or {}
        self._events: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Condition()
        self._errors: deque[str] = deque(maxlen=20)
        self._tasks = asyncio.TaskGroup()
        self._process: asyncio.subprocess.Process | None = None
        self._problem: FarsiteError | None = None
        self._ended = False

    async def __aenter__(self) -> Part:
        await self._tasks.__aenter__()
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            # Held open until the end: the part stops when it closes, however this process ends.
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | self._environment,
            limit=LINE_LIMIT,
            # An interrupt at the terminal goes to the demo, which stops its parts in order.
            start_new_session=True,
        )
        self._tasks.create_task(self._read_events(), name=f"{self.title} events")
        self._tasks.create_task(self._read_errors(), name=f"{self.title} errors")
        return self

    async def __aexit__(self, *failure: Any) -> None:
        if self._process is not None:
            await stop(self._process, STOP_SECONDS)
        await self._tasks.__aexit__(None, None, None)

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    async def event(self, name: str, timeout: float = 30.0) -> dict[str, Any]:
        """The first event of that name, waiting for it. Raises `FarsiteError` when the part ends or is late."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: name in self._events or self._ended)
        except TimeoutError:
            raise FarsiteError(
                ErrorCode.TIMEOUT,
                f"{self.title} did not report {name!r} within {timeout:.0f} s.{self._tail()}",
            ) from None
        if name not in self._events:
            raise self._problem or FarsiteError(
                ErrorCode.UNAVAILABLE, f"{self.title} stopped early.{self._tail()}"
            )
        return self._events[name]

    async def success(self, timeout: float = 60.0) -> None:
        """Wait for the end of a command that ends by itself. Raises the `FarsiteError` it reports."""
        assert self._process is not None
        try:
            async with asyncio.timeout(timeout):
                code = await self._process.wait()
        except TimeoutError:
            raise FarsiteError(ErrorCode.TIMEOUT, f"{self.title} did not end.{self._tail()}") from None
        if code != 0:
            raise self._problem or FarsiteError(ErrorCode.UNAVAILABLE, f"{self.title} failed.{self._tail()}")

    def _tail(self) -> str:
        return "\n" + "\n".join(self._errors) if self._errors else ""

    async def _read_events(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            await self._take(line)
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            name = event["event"]
        except (ValueError, KeyError, TypeError):
            self._note(line)
            return
        async with self._changed:
            self._events.setdefault(name, event)
            self._changed.notify_all()

    def _note(self, line: bytes) -> None:
        """Keep what the part complains about: the problem it ends with, or its last lines."""
        try:
            self._problem = FarsiteError.from_problem(Problem.model_validate_json(line))
            self._problem.detail = f"{self.title}: {self._problem.detail}"
        except ValidationError:
            self._errors.append(line.decode(errors="replace").rstrip())

    async def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        async for line in self._process.stderr:
            self._errors.append(line.decode(errors="replace").rstrip())
